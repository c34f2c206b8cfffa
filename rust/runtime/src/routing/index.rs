//! The routing index: finds the subscriptions that an event matches, by hash.
//!
//! Entries are grouped by channel, then by the *shape* of their conditions (which paths they
//! compare, and how), then by the required values in canonical form. An event costs one hash
//! look-up for each shape on its channel. The number of shapes depends on the declared filters
//! alone, so subscriptions that do not match cost nothing.
//!
//! Not here: how a filter becomes conditions (`catalog::filter`), and how values are compared
//! (`graphql::Comparison`).

use std::hash::Hash;
use std::sync::Arc;

use bus::{Event, StreamKey};
use graphql::{Compared, Comparison};
use hashbrown::HashMap;
use indexmap::IndexSet;
use serde_json::Value;

use super::channel_workers::{ChannelHold, WorkerChannels};

/// A dotted path into an event's data, split at the dots.
pub type FieldPath = Arc<[Box<str>]>;

/// Splits `user.id` into its path.
#[must_use]
pub fn field_path(dotted: &str) -> FieldPath {
    dotted.split('.').map(Box::from).collect()
}

/// The value that an event's data must have at a path, and how the two are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredValue {
    place: ComparedPath,
    value: Compared,
}

/// A path of an event's data, and how the value there is compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ComparedPath {
    path: FieldPath,
    comparison: Comparison,
}

impl RequiredValue {
    /// Requires a value equal to `value` at the path.
    #[must_use]
    pub fn new(path: FieldPath, comparison: Comparison, value: &Value) -> Self {
        let value = comparison.of(value);
        Self {
            place: ComparedPath { path, comparison },
            value,
        }
    }
}

impl ComparedPath {
    /// Reads the value of the event in canonical form; null when the path leads nowhere.
    fn read(&self, event: &Event) -> Compared {
        let value = event.field(&self.path);
        value.map_or(Compared::Null, |value| {
            self.comparison.of(&value.to_value())
        })
    }
}

/// The conditions under which an event reaches one subscription.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    channel: String,
    tenant: Option<Arc<str>>,
    event_types: Option<Box<[Box<str>]>>,
    shape: Shape,
    values: Box<[Compared]>,
}

/// Which parts of an event a route compares. Routes of one declared filter have few shapes: they
/// differ in their values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Shape {
    typed: bool,
    tenanted: bool,
    places: Box<[ComparedPath]>,
}

impl Route {
    /// Returns an upper bound of what the route keeps of a client's arguments (bytes).
    pub(crate) fn kept_bytes(&self) -> usize {
        let texts = self.values.iter().map(|value| match value {
            Compared::Null | Compared::Bool(_) => 0,
            Compared::Text(text) | Compared::Json(text) => text.len(),
        });
        self.channel.len() + texts.sum::<usize>()
    }

    /// Creates a route. The order of the conditions does not matter.
    #[must_use]
    pub fn new(
        channel: String,
        event_types: Option<&[String]>,
        mut conditions: Vec<RequiredValue>,
    ) -> Self {
        conditions.sort_by(|a, b| a.place.path.cmp(&b.place.path));
        let conditions = conditions
            .into_iter()
            .map(|wanted| (wanted.place, wanted.value));
        let (places, values): (Vec<_>, Vec<_>) = conditions.unzip();
        let event_types = event_types.map(|types| {
            let mut types: Vec<Box<str>> = types.iter().map(|t| t.as_str().into()).collect();
            types.sort();
            types.dedup();
            types.into_boxed_slice()
        });
        Self {
            channel,
            tenant: None,
            shape: Shape {
                typed: event_types.is_some(),
                tenanted: false,
                places: places.into(),
            },
            event_types,
            values: values.into(),
        }
    }

    /// Restricts the route to the events of one tenant.
    #[must_use]
    pub fn for_tenant(mut self, tenant: Arc<str>) -> Self {
        self.tenant = Some(tenant);
        self.shape.tenanted = true;
        self
    }

    /// The channel.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// The tenant whose events match; `None`: the events of all tenants match.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// Whether an event matches. Agrees with [`RoutingIndex::matches`].
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        let is_typed = |types: &[Box<str>]| {
            let event_type = event.event_type.as_deref();
            event_type.is_some_and(|event_type| types.iter().any(|known| **known == *event_type))
        };
        let is_equal = |(place, value): (&ComparedPath, &Compared)| place.read(event) == *value;
        *event.channel == *self.channel
            && self.event_types.as_deref().is_none_or(is_typed)
            && (self.tenant.is_none() || self.tenant == event.tenant_id)
            && self.shape.places.iter().zip(&self.values).all(is_equal)
    }

    /// Returns the keys of this route in the index: one for each event type.
    fn lookups(&self) -> impl Iterator<Item = Lookup> {
        let types: &[Box<str>] = self.event_types.as_deref().unwrap_or(&[]);
        let untyped = (!self.shape.typed).then_some(None);
        types
            .iter()
            .map(Some)
            .chain(untyped)
            .map(|event_type| Lookup {
                event_type: event_type.cloned(),
                tenant: self.tenant.clone(),
                values: self.values.clone(),
            })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Lookup {
    event_type: Option<Box<str>>,
    tenant: Option<Arc<str>>,
    values: Box<[Compared]>,
}

/// Entries of type `T` of one worker, found by the events that match their routes.
#[derive(Debug)]
pub(crate) struct RoutingIndex<T> {
    worker: WorkerChannels,
    channels: HashMap<String, ChannelEntries<T>>,
}

/// The entries of one channel.
#[derive(Debug)]
struct ChannelEntries<T> {
    shapes: Vec<ShapeEntries<T>>,
    /// Sends the events of the channel to the worker.
    _hold: ChannelHold,
}

/// The entries of one channel whose routes have the same shape.
#[derive(Debug)]
struct ShapeEntries<T> {
    shape: Shape,
    entries: HashMap<Lookup, IndexSet<T>>,
}

impl<T: Clone + Eq + Hash> RoutingIndex<T> {
    /// Creates the empty index of a worker.
    #[must_use]
    pub(crate) fn new(worker: WorkerChannels) -> Self {
        Self {
            worker,
            channels: HashMap::new(),
        }
    }

    /// Adds an entry.
    pub(crate) fn insert(&mut self, route: &Route, entry: &T) {
        let channel = self.channels.entry_ref(route.channel.as_str());
        let ChannelEntries { shapes, .. } = channel.or_insert_with(|| ChannelEntries {
            shapes: Vec::new(),
            _hold: self.worker.hold(&route.channel),
        });
        let place = shapes.iter().position(|s| s.shape == route.shape);
        let place = place.unwrap_or_else(|| {
            shapes.push(ShapeEntries {
                shape: route.shape.clone(),
                entries: HashMap::new(),
            });
            shapes.len() - 1
        });
        for lookup in route.lookups() {
            shapes[place]
                .entries
                .entry(lookup)
                .or_default()
                .insert(entry.clone());
        }
    }

    /// Removes an entry, and every shape and channel that is empty then.
    pub(crate) fn remove(&mut self, route: &Route, entry: &T) {
        let Some(ChannelEntries { shapes, .. }) = self.channels.get_mut(route.channel.as_str())
        else {
            return;
        };
        if let Some(of_shape) = shapes.iter_mut().find(|s| s.shape == route.shape) {
            for lookup in route.lookups() {
                if let Some(entries) = of_shape.entries.get_mut(&lookup) {
                    entries.swap_remove(entry);
                    if entries.is_empty() {
                        of_shape.entries.remove(&lookup);
                    }
                }
            }
        }
        shapes.retain(|of_shape| !of_shape.entries.is_empty());
        if shapes.is_empty() {
            self.channels.remove(route.channel.as_str());
        }
    }

    /// Adds to `matching` every entry that an event of the stream could match, each once.
    pub(crate) fn all_of(&self, stream: &StreamKey, matching: &mut Vec<T>) {
        let Some(ChannelEntries { shapes, .. }) = self.channels.get(&*stream.channel) else {
            return;
        };
        let mut entries = IndexSet::new();
        for of_shape in shapes {
            let of_stream = of_shape
                .entries
                .iter()
                .filter(|(lookup, _)| !of_shape.shape.tenanted || lookup.tenant == stream.tenant);
            entries.extend(of_stream.flat_map(|(_, entries)| entries).cloned());
        }
        matching.extend(entries);
    }

    /// Adds to `matching` every entry that the event matches, each once.
    pub(crate) fn matches(&self, event: &Event, matching: &mut Vec<T>) {
        let Some(ChannelEntries { shapes, .. }) = self.channels.get(&*event.channel) else {
            return;
        };
        for of_shape in shapes {
            let event_type = match (of_shape.shape.typed, &event.event_type) {
                (true, None) => continue,
                (true, Some(event_type)) => Some(Box::from(&**event_type)),
                (false, _) => None,
            };
            let tenant = match (of_shape.shape.tenanted, &event.tenant_id) {
                (true, None) => continue,
                (true, tenant) => tenant.clone(),
                (false, _) => None,
            };
            let values = of_shape.shape.places.iter().map(|place| place.read(event));
            let lookup = Lookup {
                event_type,
                tenant,
                values: values.collect(),
            };
            if let Some(entries) = of_shape.entries.get(&lookup) {
                matching.extend(entries.iter().cloned());
            }
        }
    }

    /// Whether there are no entries.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus::Draft;
    use serde_json::json;

    fn event(channel: &str, event_type: Option<&str>, data: Value) -> Event {
        let draft = Draft {
            channel: channel.into(),
            event_type: event_type.map(Into::into),
            tenant_id: None,
            id: None,
            data: data.into(),
            trace: None,
        };
        let stream = bus::Streams::new([1; 16], false).of(channel, None);
        Event::new(draft, stream, bus::LocalPosition::default())
    }

    fn route(channel: &str, types: Option<&[&str]>, conditions: &[(&str, Value)]) -> Route {
        let types: Option<Vec<String>> = types.map(|t| t.iter().map(ToString::to_string).collect());
        Route::new(
            channel.into(),
            types.as_deref(),
            conditions
                .iter()
                .map(|(path, value)| RequiredValue::new(field_path(path), Comparison::Any, value))
                .collect(),
        )
    }

    fn index() -> RoutingIndex<u32> {
        RoutingIndex::new(WorkerChannels::default())
    }

    fn reached(index: &RoutingIndex<u32>, event: &Event) -> Vec<u32> {
        let mut reached = Vec::new();
        index.matches(event, &mut reached);
        reached.sort_unstable();
        reached
    }

    #[test]
    fn an_event_reaches_the_subscriptions_of_its_channel_alone() {
        let mut index = index();
        index.insert(&route("orders", None, &[]), &1);
        index.insert(&route("users", None, &[]), &2);
        assert_eq!(reached(&index, &event("orders", None, json!({}))), [1]);
    }

    #[test]
    fn conditions_must_all_hold() {
        let mut index = index();
        let both = [("user.id", json!(7)), ("region", json!("eu"))];
        index.insert(&route("orders", None, &both), &1);
        let data = json!({"region": "eu", "user": {"id": 7}});
        assert_eq!(reached(&index, &event("orders", None, data)), [1]);
        let data = json!({"region": "us", "user": {"id": 7}});
        assert!(reached(&index, &event("orders", None, data)).is_empty());
    }

    #[test]
    fn an_id_argument_finds_the_integer_of_the_event() {
        let mut index = index();
        index.insert(&route("orders", None, &[("user_id", json!("7"))]), &1);
        index.insert(&route("orders", None, &[("user_id", json!(7.0))]), &2);
        let reached = reached(&index, &event("orders", None, json!({"user_id": 7})));
        assert_eq!(reached, [1, 2]);
    }

    #[test]
    fn several_event_types_reach_one_subscription_once() {
        let mut index = index();
        index.insert(&route("orders", Some(&["paid", "sent", "paid"]), &[]), &1);
        assert_eq!(
            reached(&index, &event("orders", Some("paid"), json!({}))),
            [1]
        );
        assert!(reached(&index, &event("orders", Some("lost"), json!({}))).is_empty());
        assert!(reached(&index, &event("orders", None, json!({}))).is_empty());
    }

    #[test]
    fn a_route_of_a_tenant_finds_its_events_alone() {
        let mut index = index();
        let of = |tenant: &str| route("orders", None, &[]).for_tenant(tenant.into());
        index.insert(&of("a"), &1);
        index.insert(&of("b"), &2);
        index.insert(&route("orders", None, &[]), &3);
        let mut event = event("orders", None, json!({}));
        assert_eq!(reached(&index, &event), [3]);
        event.tenant_id = Some("a".into());
        assert_eq!(reached(&index, &event), [1, 3]);
        index.remove(&of("a"), &1);
        assert_eq!(reached(&index, &event), [3]);
    }

    #[test]
    fn null_matches_null_and_absent() {
        let mut index = index();
        index.insert(&route("orders", None, &[("region", Value::Null)]), &1);
        assert_eq!(reached(&index, &event("orders", None, json!({}))), [1]);
        assert_eq!(
            reached(&index, &event("orders", None, json!({"region": null}))),
            [1]
        );
        assert!(reached(&index, &event("orders", None, json!({"region": ""}))).is_empty());
    }

    #[test]
    fn a_route_matches_the_events_that_it_is_found_by() {
        let routes = [
            route("orders", None, &[]),
            route("orders", Some(&["paid", "sent"]), &[]),
            route("orders", Some(&[]), &[]),
            route("orders", None, &[]).for_tenant("a".into()),
            route("orders", None, &[("region", Value::Null)]),
            route(
                "orders",
                None,
                &[("user.id", json!("7")), ("region", json!("eu"))],
            ),
            route("users", None, &[("user.id", json!(7))]),
        ];
        let data = [
            json!({}),
            json!({"region": "eu", "user": {"id": 7.0}}),
            json!({"region": "eu", "user": 7}),
            json!([7]),
        ];
        let mut found_at_all = 0;
        for data in data {
            for (channel, event_type, tenant) in [
                ("orders", None, None),
                ("orders", Some("paid"), Some("a")),
                ("orders", Some("lost"), Some("b")),
                ("users", Some("sent"), Some("a")),
            ] {
                let mut event = event(channel, event_type, data.clone());
                event.tenant_id = tenant.map(Into::into);
                for route in &routes {
                    let mut index = index();
                    index.insert(route, &1);
                    let is_found = !reached(&index, &event).is_empty();
                    assert_eq!(route.matches(&event), is_found, "{route:?} {event:?}");
                    found_at_all += usize::from(is_found);
                }
            }
        }
        assert!(found_at_all > 20);
    }

    #[test]
    fn removing_the_last_entry_leaves_nothing_behind() {
        let mut index = index();
        let route = route("orders", Some(&["a", "b"]), &[("x", json!(1))]);
        index.insert(&route, &1);
        index.insert(&route, &2);
        index.remove(&route, &1);
        assert!(!index.is_empty());
        index.remove(&route, &2);
        assert!(index.is_empty());
    }
}
