-- Runs once, in the new database of compose.
CREATE ROLE subs LOGIN REPLICATION PASSWORD 'subs';
CREATE TABLE orders (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    item text NOT NULL,
    paid boolean NOT NULL DEFAULT false
);
INSERT INTO orders (item) VALUES ('tea');
