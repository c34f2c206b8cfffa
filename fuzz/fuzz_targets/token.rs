//! Any text as a token, and as a key set: no panic, and nobody is let in.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use security::{ClaimNames, KeySet, TokenRules};

static RULES: LazyLock<(TokenRules, KeySet)> = LazyLock::new(|| {
    let names = ["HS256", "HS384", "HS512"].map(str::to_owned);
    let claims = ClaimNames {
        user: "sub".into(),
        tenant: "tenant_id".into(),
        roles: "roles".into(),
        permissions: "permissions".into(),
    };
    let rules = TokenRules::new(&names, claims).unwrap();
    let keys = rules.key(&[7; 64]).unwrap();
    (rules, keys)
});

fuzz_target!(|text: &str| {
    let (rules, keys) = &*RULES;
    assert!(rules.verify(text, keys, 0.0).is_err());
    if let Some((set, token)) = text.split_once('\n')
        && let Ok(keys) = KeySet::from_jwks(set)
    {
        let _ = rules.verify(token, &keys, 0.0);
    }
});
