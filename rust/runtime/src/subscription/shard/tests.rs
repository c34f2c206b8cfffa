//! A subscription receives only the events that its guard admits, for any order of subscribing,
//! ending and publishing.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::task::{Context, Poll};

use bus::{Draft, Epoch, LocalPosition, Position};
use graphql::{Comparison, Document, DocumentLimits, JsonMap, Operation, Schema, SchemaOptions};
use proptest::prelude::*;
use security::{Identity, RowFilter};
use serde_json::{Value, json};

use super::*;

#[derive(Default)]
struct Received(RefCell<Vec<u64>>);

impl ResponseSink for Received {
    fn next(&self, response: &Bytes) {
        let response: Value = serde_json::from_slice(response).unwrap();
        self.0
            .borrow_mut()
            .push(response["data"]["order"]["n"].as_u64().unwrap());
    }

    fn poll_room(&self, _: &Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn error(&self, _: &[u8]) {}

    fn complete(&self) {}
}

#[derive(Debug, Clone)]
enum Step {
    /// Subscribe: tenant, user, and whether the user sees all rows.
    Subscribe(u8, u8, bool),
    End(prop::sample::Index),
    /// Publish: the tenant of the event, and the user that its data names.
    Publish(Option<u8>, Option<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..3u8, 0..3u8, any::<bool>()).prop_map(|(t, u, all)| Step::Subscribe(t, u, all)),
        1 => any::<prop::sample::Index>().prop_map(Step::End),
        3 => (prop::option::of(0..3u8), prop::option::of(0..3u8)).prop_map(|(t, u)| Step::Publish(t, u)),
    ]
}

struct Subscriber {
    tenant: u8,
    user: u8,
    sees_all: bool,
    received: Rc<Received>,
    expected: Vec<u64>,
    registration: Option<Registration>,
}

/// The position of the event with this number, counted from 1.
pub(crate) fn dense(number: u64) -> LocalPosition {
    LocalPosition {
        sequence: number,
        position: Position::new(Epoch(1), number),
        received: bus::Received::default(),
    }
}

pub(crate) fn plan() -> Arc<Plan> {
    let sdl = "type Subscription { order: Order } type Order { n: Int }";
    let schema = Arc::new(Schema::parse(sdl, SchemaOptions::default()).unwrap());
    let text = "subscription { order { n } }";
    let document = Document::parse(schema, DocumentLimits::default(), text);
    match Arc::new(document.unwrap()).operation(None, JsonMap::new()) {
        Ok(Operation::Subscription(operation)) => operation.plan,
        other => panic!("{other:?}"),
    }
}

fn subscribe(
    shard: &Rc<Shard>,
    plan: &Arc<Plan>,
    tenant: u8,
    user: u8,
    sees_all: bool,
) -> Subscriber {
    let wanted = json!("$identity.user_id");
    let filter = RowFilter::new("orders", [("user", &wanted)], vec!["all".into()]).unwrap();
    let identity = Identity {
        user_id: user.to_string(),
        roles: sees_all.then(|| "all".to_owned()).into_iter().collect(),
        ..Identity::default()
    };
    let mut guard = Guard::default();
    let tenant_id: Arc<str> = tenant.to_string().into();
    guard.bind_tenant(tenant_id.clone());
    if let Some(rule) = filter.rule("orders", &identity, |_| Comparison::Any) {
        guard.add_rows(rule);
    }
    let route = Route::new("orders".into(), None, Vec::new()).for_tenant(tenant_id);
    let received = Rc::<Received>::default();
    let key = ProjectionKey {
        definition: 0,
        route,
        plan: plan.clone(),
        guard: Some(Arc::new(guard)),
    };
    let registration = shard.register_passthrough(key, (0, received.clone()));
    Subscriber {
        tenant,
        user,
        sees_all,
        received,
        expected: Vec::new(),
        registration: Some(registration),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_member_of_a_group_sees_what_it_may_see_and_nothing_else(
        steps in prop::collection::vec(step(), 1..40)
    ) {
        let metrics = Arc::<Metrics>::default();
        let shard = Rc::new(Shard::new(WorkerChannels::default(), metrics.clone()));
        let plan = plan();
        let mut subscribers: Vec<Subscriber> = Vec::new();
        let events = bus::Streams::new([1; 16], false).of("orders", None);
        for (n, step) in steps.into_iter().enumerate() {
            // Offsets start at 1.
            let n = n as u64 + 1;
            match step {
                Step::Subscribe(tenant, user, sees_all) => {
                    subscribers.push(subscribe(&shard, &plan, tenant, user, sees_all));
                }
                Step::End(which) if !subscribers.is_empty() => {
                    let which = which.index(subscribers.len());
                    subscribers[which].registration = None;
                }
                Step::End(_) => {}
                Step::Publish(tenant, user) => {
                    let data = match user {
                        Some(user) => json!({"n": n, "user": user}),
                        None => json!({"n": n}),
                    };
                    let draft = Draft {
                        channel: "orders".into(),
                        event_type: None,
                        tenant_id: tenant.map(|tenant| tenant.to_string().into()),
                        id: None,
                        data: data.into(),
                        trace: None,
                    };
                    let event = Event::new(draft, events.clone(), dense(n));
                    shard.deliver(&StreamItem::Event(Arc::new(event)));
                    let live = subscribers.iter_mut().filter(|s| s.registration.is_some());
                    for subscriber in live {
                        let is_own = user == Some(subscriber.user) || subscriber.sees_all;
                        if tenant == Some(subscriber.tenant) && is_own {
                            subscriber.expected.push(n);
                        }
                    }
                }
            }
        }
        for subscriber in &subscribers {
            prop_assert_eq!(&*subscriber.received.0.borrow(), &subscriber.expected);
        }
        let views: std::collections::HashSet<_> = subscribers
            .iter()
            .filter(|s| s.registration.is_some())
            .map(|s| (s.tenant, (!s.sees_all).then_some(s.user)))
            .collect();
        prop_assert_eq!(metrics.groups.get(), views.len() as u64);
    }
}
