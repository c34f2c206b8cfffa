//! Tokens that are accepted, and every reason to refuse one.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod keys;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::sign as sign_bytes;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use keys::{EC, ED, RSA};
use proptest::prelude::*;
use security::{ClaimNames, JwtConfigError, KeySet, TokenError, TokenRules};
use serde_json::{Value, json};

const NOW: f64 = 1_000_000.0;
const SECRET: &[u8] = b"an-example-secret-of-thirty-two-bytes";

fn try_rules(algorithms: &[&str]) -> Result<TokenRules, JwtConfigError> {
    let names: Vec<String> = algorithms.iter().map(ToString::to_string).collect();
    let claims = ClaimNames {
        user: "sub".into(),
        tenant: "org".into(),
        roles: "roles".into(),
        permissions: "scope".into(),
    };
    TokenRules::new(&names, claims)
}

fn rules(algorithms: &[&str]) -> TokenRules {
    let mut rules = try_rules(algorithms).unwrap();
    rules.leeway = 30.0;
    rules
}

fn sign(algorithm: Algorithm, kid: Option<&str>, key: &EncodingKey, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    encode(&header, claims, key).unwrap()
}

fn hs256(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET);
    sign(Algorithm::HS256, None, &key, claims)
}

fn verify(rules: &TokenRules, claims: &Value) -> Result<String, TokenError> {
    let keys = rules.key(SECRET).unwrap();
    let identity = rules.verify(&hs256(claims), &keys, NOW)?;
    Ok(identity.user_id)
}

fn claims(extra: Value) -> Value {
    let mut claims = json!({"sub": "ada", "exp": NOW + 60.0});
    let extra = extra.as_object().cloned().unwrap();
    claims.as_object_mut().unwrap().extend(extra);
    claims
}

#[test]
fn the_identity_stands_in_the_claims() {
    let rules = rules(&["HS256"]);
    let claims = claims(json!({
        "sub": 7, "org": "a", "roles": ["admin"], "scope": "read write", "team": 1
    }));
    let keys = rules.key(SECRET).unwrap();
    let identity = rules.verify(&hs256(&claims), &keys, NOW).unwrap();
    assert_eq!(identity.user_id, "7");
    assert_eq!(identity.tenant_id.as_deref(), Some("a"));
    assert_eq!(identity.roles, ["admin"]);
    assert_eq!(identity.permissions, ["read", "write"]);
    assert_eq!(identity.claims["team"], 1);
    assert_eq!(identity.expires_at, Some(NOW + 90.0));
}

#[test]
fn a_claim_is_found_by_its_name_and_by_a_dotted_path() {
    let claims = claims(json!({
        "https://example.com/roles": ["by name"],
        "realm_access": {"roles": ["below"]},
        "resource_access": {"my.client": {"roles": ["in a client"]}, "my": 1},
        "text": "no object",
        "both": {"roles": ["below"]},
        "both.roles": ["by name"],
    }));
    for (name, expected) in [
        ("https://example.com/roles", vec!["by name"]),
        ("realm_access.roles", vec!["below"]),
        ("resource_access.my.client.roles", vec!["in a client"]),
        ("both.roles", vec!["by name"]),
        ("text.roles", vec![]),
        ("realm_access.", vec![]),
        ("realm_access", vec![]),
    ] {
        let mut rules = rules(&["HS256"]);
        rules.claims.roles = name.to_owned();
        let keys = rules.key(SECRET).unwrap();
        let identity = rules.verify(&hs256(&claims), &keys, NOW).unwrap();
        assert_eq!(identity.roles, expected, "{name}");
    }
}

#[test]
fn every_family_is_verified_by_its_public_key() {
    let rsa = EncodingKey::from_rsa_pem(&RSA.private).unwrap();
    let ec = EncodingKey::from_ec_pem(&EC.private).unwrap();
    let ed = EncodingKey::from_ed_pem(&ED.private).unwrap();
    for (name, algorithm, key, public) in [
        ("RS256", Algorithm::RS256, &rsa, &RSA.public),
        ("PS512", Algorithm::PS512, &rsa, &RSA.public),
        ("ES256", Algorithm::ES256, &ec, &EC.public),
        ("EdDSA", Algorithm::EdDSA, &ed, &ED.public),
    ] {
        let rules = rules(&[name]);
        let keys = rules.key(public).unwrap();
        let token = sign(algorithm, None, key, &claims(json!({})));
        assert!(rules.verify(&token, &keys, NOW).is_ok(), "{name}");
        let (head, signature) = token.rsplit_once('.').unwrap();
        let other = if signature.starts_with('A') { "B" } else { "A" };
        let forged = format!("{head}.{other}{}", &signature[1..]);
        let refused = rules.verify(&forged, &keys, NOW);
        assert_eq!(refused, Err(TokenError::Signature), "{name}");
    }
}

#[test]
fn a_public_key_is_never_taken_for_a_secret() {
    let rules = rules(&["RS256"]);
    let keys = rules.key(&RSA.public).unwrap();
    let secret = EncodingKey::from_secret(&RSA.public);
    let token = sign(Algorithm::HS256, None, &secret, &claims(json!({})));
    assert_eq!(rules.verify(&token, &keys, NOW), Err(TokenError::Algorithm));
}

#[test]
fn the_algorithm_none_is_refused() {
    let rules = rules(&["HS256"]);
    let keys = rules.key(SECRET).unwrap();
    // {"alg":"none"} and {"alg":"None"}, before {"sub":"ada","exp":9999999999}.
    for header in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJOb25lIn0"] {
        for signature in ["", "AAAA"] {
            let token = format!("{header}.eyJzdWIiOiJhZGEiLCJleHAiOjk5OTk5OTk5OTl9.{signature}");
            let refused = rules.verify(&token, &keys, NOW);
            assert_eq!(refused, Err(TokenError::Malformed));
        }
    }
}

#[test]
fn times_are_held_against_now_with_leeway() {
    let rules = rules(&["HS256"]);
    for (extra, expected) in [
        (json!({"exp": NOW - 29.0}), Ok("ada".to_owned())),
        (json!({"exp": NOW - 30.0}), Err(TokenError::Expired)),
        (json!({"exp": null}), Err(TokenError::NoEnd)),
        (json!({"exp": "soon"}), Err(TokenError::NoEnd)),
        (json!({"nbf": NOW + 30.0}), Ok("ada".to_owned())),
        (json!({"nbf": NOW + 31.0}), Err(TokenError::NotYetValid)),
        (json!({"nbf": "never"}), Err(TokenError::NotYetValid)),
    ] {
        assert_eq!(verify(&rules, &claims(extra.clone())), expected, "{extra}");
    }
    let endless = json!({"sub": "ada"});
    assert_eq!(verify(&rules, &endless), Err(TokenError::NoEnd));
}

#[test]
fn audience_and_issuer_have_to_be_there_once_they_are_asked_for() {
    let mut rules = rules(&["HS256"]);
    rules.audience = vec!["app".into()];
    rules.issuer = vec!["https://id.example".into()];
    let iss = "https://id.example";
    assert!(verify(&rules, &claims(json!({"aud": ["x", "app"], "iss": iss}))).is_ok());
    for (extra, expected) in [
        (json!({"iss": iss}), TokenError::Audience),
        (json!({"aud": "apps", "iss": iss}), TokenError::Audience),
        (json!({"aud": "app"}), TokenError::Issuer),
        (
            json!({"aud": "app", "iss": "https://evil.example"}),
            TokenError::Issuer,
        ),
        (json!({"aud": "app", "iss": [iss]}), TokenError::Issuer),
    ] {
        let refused = verify(&rules, &claims(extra.clone()));
        assert_eq!(refused, Err(expected), "{extra}");
    }
}

#[test]
fn a_token_without_a_user_is_refused() {
    for user in [json!(null), json!("")] {
        let refused = verify(&rules(&["HS256"]), &claims(json!({"sub": user})));
        assert_eq!(refused, Err(TokenError::NoUser));
    }
}

/// Returns a token with header members that a library would refuse to write.
fn with_header(more: &Value) -> String {
    let mut header = json!({"typ": "JWT", "alg": "HS256"});
    let more = more.as_object().cloned().unwrap();
    header.as_object_mut().unwrap().extend(more);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims(json!({}))));
    let key = EncodingKey::from_secret(SECRET);
    let signature = sign_bytes(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{signed}.{signature}")
}

#[test]
fn an_extension_is_refused_however_it_is_announced() {
    let rules = rules(&["HS256"]);
    let keys = rules.key(SECRET).unwrap();
    let refused = |more: Value| rules.verify(&with_header(&more), &keys, NOW).err();
    assert_eq!(refused(json!({})), None);
    assert_eq!(refused(json!({"b64": true, "new": [1]})), None);
    for more in [
        json!({"crit": ["exp"]}),
        json!({"crit": []}),
        json!({"crit": null}),
        json!({"crit": ["b64"], "b64": false}),
        json!({"b64": false}),
        json!({"b64": null}),
        json!({"b64": "true"}),
    ] {
        assert_eq!(refused(more.clone()), Some(TokenError::Algorithm), "{more}");
    }
    // A member of the wrong type makes the header unreadable.
    for more in [
        json!({"crit": "exp"}),
        json!({"crit": {"exp": 1}}),
        json!({"crit": [7]}),
        json!({"kid": 7}),
    ] {
        assert_eq!(refused(more.clone()), Some(TokenError::Malformed), "{more}");
    }
}

#[test]
fn keys_that_a_token_brings_along_are_not_used() {
    let rules = rules(&["RS256"]);
    let rsa = EncodingKey::from_rsa_pem(&RSA.private).unwrap();
    let own = jwk(&rsa, Algorithm::RS256, "own");
    let ec = jwk(
        &EncodingKey::from_ec_pem(&EC.private).unwrap(),
        Algorithm::ES256,
        "own",
    );
    let keys = KeySet::from_jwks(&json!({"keys": [ec]}).to_string()).unwrap();
    let mut header = Header::new(Algorithm::RS256);
    header.kid = Some("own".into());
    header.jwk = serde_json::from_value(own).ok();
    header.jku = Some("https://evil.example/keys".into());
    header.x5u = Some("https://evil.example/chain".into());
    header.x5c = Some(vec!["AAAA".into()]);
    let token = encode(&header, &claims(json!({})), &rsa).unwrap();
    assert_eq!(
        rules.verify(&token, &keys, NOW),
        Err(TokenError::UnknownKey)
    );
}

fn jwk(key: &EncodingKey, algorithm: Algorithm, id: &str) -> Value {
    let mut jwk = Jwk::from_encoding_key(key, algorithm).unwrap();
    jwk.common.key_id = Some(id.into());
    serde_json::to_value(jwk).unwrap()
}

#[test]
fn a_key_set_is_searched_by_key_id() {
    let ec = EncodingKey::from_ec_pem(&EC.private).unwrap();
    let rsa = EncodingKey::from_rsa_pem(&RSA.private).unwrap();
    let mut encryption = jwk(&rsa, Algorithm::RS256, "enc");
    encryption["use"] = json!("enc");
    let set = json!({"keys": [
        jwk(&ec, Algorithm::ES256, "one"),
        jwk(&rsa, Algorithm::RS256, "two"),
        encryption,
        {"kty": "OKP", "crv": "X25519", "x": "AAAA", "kid": "unknown"},
        {"kty": "new"},
    ]});
    let keys = KeySet::from_jwks(&set.to_string()).unwrap();
    let rules = rules(&["ES256", "RS256"]);
    let outcome = |algorithm, kid, key| {
        let token = sign(algorithm, kid, key, &claims(json!({})));
        rules.verify(&token, &keys, NOW).map(|_| ())
    };
    assert_eq!(outcome(Algorithm::ES256, Some("one"), &ec), Ok(()));
    assert_eq!(outcome(Algorithm::RS256, Some("two"), &rsa), Ok(()));
    assert_eq!(outcome(Algorithm::RS256, None, &rsa), Ok(()));
    for id in ["one", "three", "enc"] {
        let refused = outcome(Algorithm::RS256, Some(id), &rsa);
        assert_eq!(refused, Err(TokenError::UnknownKey), "{id}");
    }
}

#[test]
fn a_key_is_used_for_what_it_says_alone() {
    let rsa = EncodingKey::from_rsa_pem(&RSA.private).unwrap();
    let rules = rules(&["RS256", "PS256"]);
    let token = sign(Algorithm::RS256, None, &rsa, &claims(json!({})));
    let verified = |more: Value| {
        let mut key = jwk(&rsa, Algorithm::RS256, "one");
        key.as_object_mut().unwrap().remove("alg");
        key.as_object_mut()
            .unwrap()
            .extend(more.as_object().cloned().unwrap());
        // A second key, so that the set is not empty without the first.
        let other = jwk(
            &EncodingKey::from_ec_pem(&EC.private).unwrap(),
            Algorithm::ES256,
            "two",
        );
        let keys = KeySet::from_jwks(&json!({"keys": [key, other]}).to_string()).unwrap();
        rules.verify(&token, &keys, NOW).map(|_| ())
    };
    for more in [
        json!({}),
        json!({"use": "sig"}),
        json!({"key_ops": ["verify"]}),
        json!({"key_ops": ["sign", "verify"], "use": "sig"}),
        json!({"alg": "RS256", "x5c": ["AAAA"], "x5t": "AAAA"}),
    ] {
        assert_eq!(verified(more.clone()), Ok(()), "{more}");
    }
    for more in [
        json!({"use": "enc"}),
        json!({"use": "other"}),
        json!({"use": null}),
        json!({"use": ["sig"]}),
        json!({"key_ops": ["sign"]}),
        json!({"key_ops": ["encrypt", "wrapKey"]}),
        json!({"key_ops": []}),
        json!({"key_ops": null}),
        json!({"key_ops": "verify"}),
        json!({"key_ops": ["verify", 7]}),
        json!({"key_ops": ["verify"], "use": "enc"}),
        json!({"alg": "PS256"}),
        json!({"alg": "RSA-OAEP"}),
        json!({"alg": null}),
        json!({"kid": null}),
        json!({"kid": 7}),
    ] {
        assert_eq!(
            verified(more.clone()),
            Err(TokenError::UnknownKey),
            "{more}"
        );
    }
}

#[test]
fn of_keys_with_one_id_each_is_tried() {
    let rsa = EncodingKey::from_rsa_pem(&RSA.private).unwrap();
    let ec = EncodingKey::from_ec_pem(&EC.private).unwrap();
    let ed = EncodingKey::from_ed_pem(&ED.private).unwrap();
    let set = json!({"keys": [
        jwk(&ec, Algorithm::ES256, "one"),
        jwk(&ed, Algorithm::EdDSA, "one"),
        jwk(&rsa, Algorithm::RS256, "one"),
    ]});
    let keys = KeySet::from_jwks(&set.to_string()).unwrap();
    let rules = rules(&["RS256", "ES256"]);
    for (algorithm, key) in [(Algorithm::RS256, &rsa), (Algorithm::ES256, &ec)] {
        let token = sign(algorithm, Some("one"), key, &claims(json!({})));
        assert!(rules.verify(&token, &keys, NOW).is_ok(), "{algorithm:?}");
    }
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let refused = |names: &[&str]| try_rules(names).unwrap_err();
    assert_eq!(refused(&["none"]), JwtConfigError::Algorithm("none".into()));
    assert_eq!(refused(&[]), JwtConfigError::NoAlgorithm);
    assert_eq!(refused(&["HS256", "RS256"]), JwtConfigError::Mixed);
    let key = |algorithm: &str, key: &[u8]| rules(&[algorithm]).key(key).unwrap_err();
    assert_eq!(key("HS256", b"short"), JwtConfigError::WeakSecret(5));
    assert!(matches!(key("RS256", SECRET), JwtConfigError::Key { .. }));
    assert!(matches!(
        key("RS256", &EC.public),
        JwtConfigError::Key { .. }
    ));
    for text in [
        "",
        "[]",
        "{}",
        r#"{"keys": []}"#,
        r#"{"keys": [{"kty": "new"}]}"#,
    ] {
        assert!(KeySet::from_jwks(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn no_changed_token_is_accepted(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let rules = rules(&["HS256"]);
        let keys = rules.key(SECRET).unwrap();
        let token = hs256(&claims(json!({})));
        let mut changed = token.clone().into_bytes();
        // The last character of the signature has bits that are not decoded.
        let at = at.index(changed.len() - 1);
        changed[at] = byte;
        if let Ok(changed) = String::from_utf8(changed) && changed != token {
            prop_assert!(rules.verify(&changed, &keys, NOW).is_err());
        }
    }

    #[test]
    fn any_text_is_refused_without_a_panic(text in ".{0,200}") {
        let rules = rules(&["HS256", "HS512"]);
        let keys = rules.key(&[7; 64]).unwrap();
        prop_assert!(rules.verify(&text, &keys, NOW).is_err());
    }
}
