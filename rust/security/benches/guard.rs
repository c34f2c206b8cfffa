//! Measures the five checks. The guard runs for each event and subscription, the others once for
//! each subscription: `cargo bench -p security`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use graphql::Comparison;
use security::{
    Federation, Guard, Identity, Rbac, Requirement, RowFilter, Scope, Subject, TenantIsolation,
};
use serde_json::json;

const ROUNDS: u32 = 1_000_000;

/// Prints the best time of five runs.
fn measure(name: &str, mut run: impl FnMut()) {
    let best = (0..5).map(|_| {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            run();
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
    });
    println!("{name:<60} {:>8.1} ns", best.fold(f64::INFINITY, f64::min));
}

fn main() {
    let claims = json!({"teams": (0..20).collect::<Vec<_>>()});
    let identity = Identity {
        user_id: "user-7".into(),
        tenant_id: Some("tenant-1".into()),
        permissions: vec!["orders:read".into(), "orders:finance".into()],
        claims: claims.as_object().cloned().unwrap(),
        ..Identity::default()
    };
    let federation = Arc::new(Federation::new("orders", None::<[&str; 0]>).unwrap());
    let (user, teams) = (json!("$identity.user_id"), json!("$identity.teams"));
    let conditions = [("customer.id", &user), ("team", &teams)];
    let rows = RowFilter::new("orders*", conditions, vec!["admin".into()]).unwrap();
    let isolation = TenantIsolation { event_field: None };
    let scope = Scope::new([("userId", &user)], Vec::new()).unwrap();
    let mut rbac = Rbac::default();
    rbac.protect_subscription("orderUpdated", Requirement::permission("orders:read"));
    rbac.protect_field("Order", "total", Requirement::permission("orders:finance"));
    let arguments = json!({"userId": "user-7"}).as_object().cloned().unwrap();
    let channel = "orders.user-7";
    let client = Some(&identity);

    let compile = || {
        let mut guard = Guard::default();
        federation.check(Some(channel), None).unwrap();
        guard.bind_federation(federation.clone());
        guard.bind_tenant(isolation.tenant_of(client).unwrap());
        scope
            .check(client, |_| Some(Comparison::Text), &arguments)
            .unwrap();
        rbac.check_subscription(client, "orderUpdated").unwrap();
        assert!(!rbac.denies_field(client, "Order", "total"));
        guard.add_rows(rows.rule(channel, &identity, |_| Comparison::Any).unwrap());
        guard
    };
    let guard = compile();
    let event = |user: &str| {
        json!({"id": 1, "status": "PAID", "customer": {"id": user}, "team": 13}).into()
    };
    let (own, other) = (event("user-7"), event("user-8"));
    let subject = |data| Subject {
        channel,
        tenant_id: Some("tenant-1"),
        data,
    };
    measure(
        "event admitted: tenant, subgraph, rows by two conditions",
        || {
            guard.admit(black_box(subject(&own))).unwrap();
        },
    );
    measure("event kept back by rows", || {
        guard.admit(black_box(subject(&other))).unwrap_err();
    });
    measure("all five checks, once for a subscription", || {
        black_box(compile());
    });
}
