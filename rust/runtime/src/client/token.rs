//! Finds a client's token, and verifies it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use security::{FetchTimes, Identity, KeySet, TokenError, TokenRules};

use super::{Client, only};
use crate::clock::running_seconds;

/// The places that may contain a token, in this order. A place with two different tokens counts as
/// empty.
#[derive(Debug, Clone, Default)]
pub struct TokenSource {
    /// Members of the payload of `connection_init`.
    pub parameters: Vec<String>,
    /// A header of the handshake, in lower case.
    pub header: Option<String>,
    /// A parameter of the target.
    pub query: Option<String>,
    /// A cookie.
    pub cookie: Option<String>,
}

impl TokenSource {
    /// Returns the token, without `Bearer`.
    #[must_use]
    pub fn find<'c>(&self, client: &'c Client) -> Option<Cow<'c, str>> {
        let payload = client.connection_params.lock();
        let from_payload = payload
            .as_ref()
            .and_then(|payload| payload.first_string(&self.parameters))
            .map(Cow::from);
        drop(payload);
        let from_header = || client.header(self.header.as_deref()?).map(Cow::from);
        let from_query = || {
            let name = self.query.as_deref()?;
            let values = client.parameters().filter(|(known, _)| known == name);
            only(values.map(|(_, value)| value))
        };
        let from_cookie = || {
            let name = self.cookie.as_deref()?;
            // HTTP/2 may send each cookie in a separate field.
            let values = client
                .all("cookie")
                .flat_map(|header| cookies(header, name));
            only(values).map(Cow::from)
        };
        let token = from_payload
            .or_else(from_header)
            .or_else(from_query)
            .or_else(from_cookie)?;
        Some(without_scheme(token))
    }
}

impl fmt::Display for TokenSource {
    /// Lists the places.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted: Vec<_> = self
            .parameters
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        let payload = (!quoted.is_empty())
            .then(|| format!("{} of the payload of connection_init", quoted.join(", ")));
        let header = self
            .header
            .as_ref()
            .map(|name| format!("the header `{name}`"));
        let query = self.query.as_ref();
        let query = query.map(|name| format!("the parameter `{name}` of the URL"));
        let cookie = self
            .cookie
            .as_ref()
            .map(|name| format!("the cookie `{name}`"));
        let places: Vec<_> = [payload, header, query, cookie]
            .into_iter()
            .flatten()
            .collect();
        f.write_str(&places.join("; "))
    }
}

/// Removes the scheme `Bearer`: RFC 6750, section 2.1.
fn without_scheme(token: Cow<'_, str>) -> Cow<'_, str> {
    let bare = token.trim();
    let bare = match bare.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => rest.trim_start(),
        _ => bare,
    };
    if bare.len() == token.len() {
        token
    } else {
        Cow::Owned(bare.to_owned())
    }
}

/// Returns the values of a cookie: RFC 6265, section 5.4.
fn cookies<'h>(header: &'h str, name: &str) -> impl Iterator<Item = &'h str> {
    header.split(';').filter_map(move |pair| {
        let (known, value) = pair.trim().split_once('=')?;
        (known == name).then(|| value.trim_matches('"'))
    })
}

/// Verifies the tokens of one manager's clients.
#[derive(Debug)]
pub struct TokenVerifier {
    source: TokenSource,
    rules: TokenRules,
    keys: RwLock<Arc<KeySet>>,
    /// URL of the keys; `None`: the keys are fixed.
    pub(crate) url: Option<Arc<str>>,
    times: Mutex<FetchTimes>,
    /// Locked during a fetch.
    pub(crate) fetching: tokio::sync::Mutex<()>,
}

impl TokenVerifier {
    /// Creates a verifier with these keys.
    #[must_use]
    pub fn new(source: TokenSource, rules: TokenRules, keys: KeySet) -> Self {
        Self {
            source,
            rules,
            keys: RwLock::new(Arc::new(keys)),
            url: None,
            times: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        }
    }

    /// Creates a verifier that fetches its keys.
    #[must_use]
    pub fn fetching(source: TokenSource, rules: TokenRules, url: &str) -> Self {
        Self {
            url: Some(url.into()),
            ..Self::new(source, rules, KeySet::default())
        }
    }

    /// Whether the keys should be fetched.
    pub(crate) fn is_fetch_due(&self, is_known: bool) -> bool {
        self.url.is_some() && self.times.lock().is_due(running_seconds(), is_known)
    }

    /// Like [`Self::is_fetch_due`]; if it returns true, the caller has to fetch the keys.
    pub(crate) fn begin_fetch(&self, is_known: bool) -> bool {
        let (mut times, now) = (self.times.lock(), running_seconds());
        let is_due = times.is_due(now, is_known);
        if is_due {
            times.begin(now);
        }
        is_due
    }

    /// Returns why a token was refused; for a missing one, the places that were searched.
    pub(crate) fn explain(&self, error: TokenError) -> String {
        match error {
            TokenError::Missing => format!("{error}, looked for in {}", self.source),
            error => error.to_string(),
        }
    }

    pub(crate) fn replace_keys(&self, keys: KeySet) {
        *self.keys.write() = Arc::new(keys);
        self.times.lock().succeed(running_seconds());
    }

    /// Verifies a client's token at `now`, in seconds since the epoch, with the current keys.
    pub(crate) fn verify(&self, client: &Client, now: f64) -> Result<Identity, TokenError> {
        let token = self.source.find(client).ok_or(TokenError::Missing)?;
        if self.url.is_some() && !self.times.lock().is_fresh(running_seconds()) {
            return Err(TokenError::UnknownKey);
        }
        let keys = self.keys.read().clone();
        self.rules.verify(&token, &keys, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::JsonObject;
    use serde_json::{Value, json};

    fn token_of(payload: &Value, header: Option<&str>, cookie: Option<&str>) -> Option<String> {
        token_in(payload, header, "", cookie)
    }

    fn token_in(
        payload: &Value,
        header: Option<&str>,
        query: &str,
        cookie: Option<&str>,
    ) -> Option<String> {
        let source = TokenSource {
            parameters: vec!["authorization".into(), "token".into()],
            header: Some("authorization".into()),
            query: Some("access token".into()),
            cookie: Some("session".into()),
        };
        let headers = [("authorization", header), ("cookie", cookie)];
        let headers = headers
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        let client = Client {
            connection_params: Mutex::new(JsonObject::parse(payload.to_string()).ok()),
            headers: headers.collect(),
            query: query.to_owned(),
            ..Client::default()
        };
        source.find(&client).map(Cow::into_owned)
    }

    #[test]
    fn a_token_is_found_in_payload_header_or_cookie() {
        let of = |payload, header, cookie| token_of(&payload, header, cookie);
        assert_eq!(
            of(json!({"token": "a"}), Some("b"), None).as_deref(),
            Some("a")
        );
        let payload = json!({"token": "a", "authorization": "bearer  c"});
        assert_eq!(of(payload, None, None).as_deref(), Some("c"));
        assert_eq!(
            of(json!({"token": 7}), Some("Bearer b"), None).as_deref(),
            Some("b")
        );
        let cookies = Some("x=1; session=\"d\"; sessions=e");
        assert_eq!(of(json!({}), None, cookies).as_deref(), Some("d"));
        assert_eq!(of(json!(null), None, Some("sessions=e")), None);
        // Another host below the same domain may have set the second cookie.
        let two = Some("session=d; session=e");
        assert_eq!(of(json!(null), None, two), None);
        let same = Some("session=d; session=d");
        assert_eq!(of(json!(null), None, same).as_deref(), Some("d"));
    }

    #[test]
    fn a_token_in_the_target_is_decoded_and_stands_behind_the_header() {
        let query = "token=x&access%20token=Bearer+a%2Eb";
        let of = |header| token_in(&json!(null), header, query, Some("session=d"));
        assert_eq!(of(None).as_deref(), Some("a.b"));
        assert_eq!(of(Some("Bearer e")).as_deref(), Some("e"));
        let two = "access%20token=a&access+token=c";
        assert_eq!(token_in(&json!(null), None, two, None), None);
    }
}
