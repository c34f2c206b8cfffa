//! JSON Web Tokens: verifies signature and claims, and returns the identity in the token.
//!
//! Source: RFC 7519 and the advice of RFC 8725. The algorithm has to be listed in the configuration
//! and fit the key. Of the token's header fields about keys, only `kid` is used.
//! Not here: fetching keys (`runtime::admission`).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation};
use serde_json::{Map, Value};

use crate::identity::Identity;

/// Tokens past this size are refused (bytes).
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Why a JWT configuration is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwtConfigError {
    /// An unsupported algorithm.
    #[error(
        "`{0}` in `algorithms` is not supported: use HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA"
    )]
    Algorithm(String),
    /// No algorithm.
    #[error(
        "no algorithm is listed: set `algorithms` to those that your tokens are signed with, such as [\"RS256\"]"
    )]
    NoAlgorithm,
    /// Algorithms for secrets and for public keys together.
    #[error(
        "`algorithms` mixes HS algorithms with those of public keys: list one kind only, as a public key could be used as a secret"
    )]
    Mixed,
    /// The key does not fit an algorithm.
    #[error(
        "`key` cannot be used with {algorithm}: use a PEM public key for RS, PS, ES and EdDSA, a secret for HS"
    )]
    Key {
        /// The algorithm that the key does not fit.
        algorithm: String,
    },
    /// A secret that is too short.
    #[error("the secret in `key` has {0} bytes: use at least 32, as RFC 7518 asks for")]
    WeakSecret(usize),
    /// A public key that is used as a secret.
    #[error(
        "the secret in `key` is a PEM key, which others have: list the `algorithms` of that key, such as RS256"
    )]
    PemSecret,
    /// The key set cannot be parsed.
    #[error("`jwks` is not a JSON Web Key Set: {0}; pass the text of one")]
    KeySet(String),
}

/// Why a token is refused. Never contains a part of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is no token.
    #[error("no token")]
    Missing,
    /// The text is not a token.
    #[error("malformed token")]
    Malformed,
    /// The algorithm is not listed, or the header has a critical extension.
    #[error("algorithm not accepted")]
    Algorithm,
    /// No key has this id, or none fits the algorithm.
    #[error("unknown key")]
    UnknownKey,
    /// The signature is invalid.
    #[error("invalid signature")]
    Signature,
    /// `exp` is in the past.
    #[error("expired token")]
    Expired,
    /// `exp` is missing, or not a number.
    #[error("token without an expiry: its claim `exp` is missing, or is not a number of seconds")]
    NoEnd,
    /// `nbf` is in the future.
    #[error("token not valid yet")]
    NotYetValid,
    /// `aud` is another audience, or missing.
    #[error("wrong audience")]
    Audience,
    /// `iss` is another issuer, or missing.
    #[error("wrong issuer")]
    Issuer,
    /// The token has no user.
    #[error("no user")]
    NoUser,
}

/// The claims that contain the members of an identity: names, or dotted paths below a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimNames {
    /// Claim of the user id.
    pub user: String,
    /// Claim of the tenant id.
    pub tenant: String,
    /// Claim of the roles: a list, or words with spaces between.
    pub roles: String,
    /// Claim of the permissions: a list, or words with spaces between.
    pub permissions: String,
}

/// The rules for tokens.
#[derive(Debug, Clone)]
pub struct TokenRules {
    algorithms: Vec<Algorithm>,
    /// Audiences, one of which `aud` has to contain; empty: not checked.
    pub audience: Vec<String>,
    /// Issuers, one of which `iss` has to be; empty: not checked.
    pub issuer: Vec<String>,
    /// Allowed difference of clocks (seconds).
    pub leeway: f64,
    /// The claims with the identity.
    pub claims: ClaimNames,
}

impl TokenRules {
    /// Creates rules for tokens that are signed with one of these algorithms.
    ///
    /// # Errors
    ///
    /// [`JwtConfigError`] when one is unknown, or secrets and public keys are mixed.
    pub fn new(algorithms: &[String], claims: ClaimNames) -> Result<Self, JwtConfigError> {
        let read = |name: &String| {
            name.parse()
                .map_err(|_| JwtConfigError::Algorithm(name.clone()))
        };
        let algorithms: Vec<Algorithm> = algorithms.iter().map(read).collect::<Result<_, _>>()?;
        let secrets = algorithms
            .iter()
            .filter(|a| a.family() == AlgorithmFamily::Hmac)
            .count();
        match secrets {
            _ if algorithms.is_empty() => return Err(JwtConfigError::NoAlgorithm),
            secrets if secrets > 0 && secrets < algorithms.len() => {
                return Err(JwtConfigError::Mixed);
            }
            _ => {}
        }
        Ok(Self {
            algorithms,
            audience: Vec::new(),
            issuer: Vec::new(),
            leeway: 0.0,
            claims,
        })
    }

    /// Returns a key set with one key for all algorithms: PEM, or the bytes of a secret.
    ///
    /// # Errors
    ///
    /// [`JwtConfigError`] if it does not fit one of them.
    pub fn key(&self, key: &[u8]) -> Result<KeySet, JwtConfigError> {
        let read = |algorithm: &Algorithm| {
            let refuse = |_| JwtConfigError::Key {
                algorithm: format!("{algorithm:?}"),
            };
            let decoding = match algorithm.family() {
                // RFC 7518, section 3.2.
                AlgorithmFamily::Hmac if key.len() < 32 => {
                    return Err(JwtConfigError::WeakSecret(key.len()));
                }
                // RFC 8725, section 2.1: anyone with the public key could sign tokens.
                AlgorithmFamily::Hmac if key.trim_ascii_start().starts_with(b"-----BEGIN") => {
                    return Err(JwtConfigError::PemSecret);
                }
                AlgorithmFamily::Hmac => DecodingKey::from_secret(key),
                AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(key).map_err(refuse)?,
                AlgorithmFamily::Ec => DecodingKey::from_ec_pem(key).map_err(refuse)?,
                AlgorithmFamily::Ed => DecodingKey::from_ed_pem(key).map_err(refuse)?,
            };
            Ok(Key {
                id: None,
                algorithms: vec![*algorithm],
                key: decoding,
            })
        };
        let keys = self.algorithms.iter().map(read).collect::<Result<_, _>>()?;
        Ok(KeySet(keys))
    }

    /// Verifies a token at `now`, in seconds since the epoch.
    ///
    /// # Errors
    ///
    /// [`TokenError`] with the first rule that it breaks.
    pub fn verify(&self, token: &str, keys: &KeySet, now: f64) -> Result<Identity, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Malformed);
        }
        // `none`, and any other unsupported algorithm, is reported as malformed.
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        let (algorithm, id) = (header.alg, header.kid.as_deref());
        if !self.algorithms.contains(&algorithm) || has_extension(token)? {
            return Err(TokenError::Algorithm);
        }
        let mut validation = Validation::new(algorithm);
        // Times are compared with `now`, and the audience is required: both below.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let mut result = Err(TokenError::UnknownKey);
        for key in keys.candidates(id, algorithm) {
            match jsonwebtoken::decode::<Map<String, Value>>(token, &key.key, &validation) {
                Ok(decoded) => return self.identity(decoded.claims, now),
                Err(error) => {
                    result = Err(match error.kind() {
                        ErrorKind::InvalidSignature => TokenError::Signature,
                        _ => TokenError::Malformed,
                    });
                }
            }
        }
        result
    }

    fn identity(&self, claims: Map<String, Value>, now: f64) -> Result<Identity, TokenError> {
        // A time that is not a number counts as invalid.
        let time = |name: &str| claims.get(name).map(Value::as_f64);
        let expires_at = time("exp").flatten().ok_or(TokenError::NoEnd)?;
        if expires_at + self.leeway <= now {
            return Err(TokenError::Expired);
        }
        let is_to_come = |begin: Option<f64>| begin.is_none_or(|begin| begin - self.leeway > now);
        if time("nbf").is_some_and(is_to_come) {
            return Err(TokenError::NotYetValid);
        }
        if !names_one(claims.get("aud"), &self.audience) {
            return Err(TokenError::Audience);
        }
        if !names_one(
            claims.get("iss").filter(|iss| iss.is_string()),
            &self.issuer,
        ) {
            return Err(TokenError::Issuer);
        }
        let text = |name: &str| match claim(&claims, name)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(graphql::spell(number, str::to_owned)),
            _ => None,
        };
        Ok(Identity {
            user_id: text(&self.claims.user).ok_or(TokenError::NoUser)?,
            tenant_id: text(&self.claims.tenant),
            roles: words(claim(&claims, &self.claims.roles)),
            permissions: words(claim(&claims, &self.claims.permissions)),
            expires_at: Some(expires_at + self.leeway),
            claims,
        })
    }
}

/// Whether a header requires an extension that is not supported, or is malformed.
fn has_extension(token: &str) -> Result<bool, TokenError> {
    let (header, _) = token.split_once('.').ok_or(TokenError::Malformed)?;
    let header = URL_SAFE_NO_PAD.decode(header).ok();
    let header = header.and_then(|text| serde_json::from_slice::<Map<String, Value>>(&text).ok());
    let header = header.ok_or(TokenError::Malformed)?;
    // RFC 7515, section 4.1.11: `crit` lists extensions that must be supported, and none is. RFC
    // 7797: a payload that is not in base64 would differ from the decoded one.
    let is_plain = header.get("b64").is_none_or(|coded| coded == true);
    Ok(header.contains_key("crit") || !is_plain)
}

/// Returns the claim of a name, or else the value at a dotted path, such as `realm_access.roles`.
///
/// A name may contain dots itself: that of a claim (`https://example.com/roles`), and that of a
/// member of an object (`resource_access.my.client.roles`).
fn claim<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    claims.get(name).or_else(|| {
        name.match_indices('.').find_map(|(dot, _)| {
            let below = claims.get(&name[..dot])?.as_object()?;
            claim(below, &name[dot + 1..])
        })
    })
}

/// Whether a claim, a string or a list of strings, contains one of the wanted values; with none
/// wanted, always.
fn names_one(claim: Option<&Value>, wanted: &[String]) -> bool {
    let is_wanted = |value: &Value| {
        value
            .as_str()
            .is_some_and(|v| wanted.iter().any(|w| w == v))
    };
    wanted.is_empty()
        || claim.is_some_and(|claim| match claim {
            Value::Array(items) => items.iter().any(is_wanted),
            one => is_wanted(one),
        })
}

fn words(claim: Option<&Value>) -> Vec<String> {
    match claim {
        Some(Value::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
        Some(Value::Array(items)) => {
            let texts = items.iter().filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// The keys that verify tokens.
#[derive(Debug, Clone, Default)]
pub struct KeySet(Vec<Key>);

#[derive(Debug, Clone)]
struct Key {
    id: Option<String>,
    /// The algorithms that the key may be used with.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl KeySet {
    /// Parses a JWKS: RFC 7517. Ignores keys for another use, and keys of unsupported kinds.
    ///
    /// # Errors
    ///
    /// [`JwtConfigError::KeySet`] if it is not a JWKS, or contains no usable key.
    pub fn from_jwks(text: &str) -> Result<Self, JwtConfigError> {
        let refuse = |problem: &str| JwtConfigError::KeySet(problem.to_owned());
        let set: Value = serde_json::from_str(text).map_err(|_| refuse("it is not JSON"))?;
        let keys = set.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or_else(|| refuse("it has no `keys`"))?;
        let keys: Vec<_> = keys.iter().filter_map(Key::from_jwk).collect();
        if keys.is_empty() {
            return Err(refuse("it has no key to verify signatures with"));
        }
        Ok(Self(keys))
    }

    /// Returns the keys with this id that fit the algorithm; all that fit if the token or the keys
    /// have no id.
    fn candidates<'k>(
        &'k self,
        id: Option<&'k str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'k Key> {
        self.0.iter().filter(move |key| {
            let is_meant = match (id, key.id.as_deref()) {
                (Some(id), Some(own)) => id == own,
                (None, _) | (_, None) => true,
            };
            is_meant && key.algorithms.contains(&algorithm)
        })
    }
}

impl Key {
    fn from_jwk(value: &Value) -> Option<Self> {
        // A key of an unknown kind must not make the others unusable.
        let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
        let common = &jwk.common;
        if !may_verify(value) {
            return None;
        }
        let fitting: Vec<Algorithm> = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => AlgorithmFamily::Rsa.algorithms().to_vec(),
            AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
                EllipticCurve::P256 => vec![Algorithm::ES256],
                EllipticCurve::P384 => vec![Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(pair) => match pair.curve {
                EllipticCurve::Ed25519 => vec![Algorithm::EdDSA],
                _ => return None,
            },
            // In base64, 32 bytes, the minimum of RFC 7518, have 43 digits.
            AlgorithmParameters::OctetKey(secret) if secret.value.len() < 43 => return None,
            AlgorithmParameters::OctetKey(_) => AlgorithmFamily::Hmac.algorithms().to_vec(),
            _ => return None,
        };
        let algorithms = match common.key_algorithm {
            None => fitting,
            Some(own) => {
                let own = Algorithm::try_from(own).ok()?;
                fitting
                    .into_iter()
                    .filter(|algorithm| *algorithm == own)
                    .collect()
            }
        };
        Some(Self {
            id: common.key_id.clone(),
            algorithms,
            key: DecodingKey::from_jwk(&jwk).ok()?,
        })
    }
}

/// Whether a key is meant to verify signatures (RFC 7517, sections 4.2 to 4.5). A malformed
/// declaration counts as no.
fn may_verify(key: &Value) -> bool {
    let is = |name: &str, holds: fn(&Value) -> bool| key.get(name).is_none_or(holds);
    is("use", |purpose| purpose == "sig")
        && is("key_ops", |operations| {
            let operations = operations.as_array();
            operations.is_some_and(|listed| {
                listed.iter().all(Value::is_string) && listed.iter().any(|one| one == "verify")
            })
        })
        && is("alg", Value::is_string)
        && is("kid", Value::is_string)
}
