//! Bounds of what an idle connection with a subscription keeps. Budget: 6 KiB for all of it.

use super::outbox::Entry;
use super::*;

fn assert_at_most<T>(bytes: usize) {
    let (name, size) = (std::any::type_name::<T>(), size_of::<T>());
    assert!(
        size <= bytes,
        "{name} has {size} bytes, more than {bytes}: every connection keeps one"
    );
}

#[test]
fn what_every_connection_keeps_is_small() {
    assert_at_most::<Connection>(368);
    assert_at_most::<Client>(240);
    assert_at_most::<Outbox>(176);
    assert_at_most::<Entry>(136);
    assert_at_most::<OperationSink>(144);
    assert_at_most::<ActiveOperation>(48);
    assert_at_most::<SubscriptionActor>(160);
}
