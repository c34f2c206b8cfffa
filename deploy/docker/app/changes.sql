-- Something to see: an order changes every second.
UPDATE orders SET paid = NOT paid WHERE id = 1 \watch 1
