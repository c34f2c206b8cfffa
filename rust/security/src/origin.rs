//! The `Origin` header against the configured list: the guard against cross-site WebSocket
//! hijacking (RFC 6455, section 10.2).

/// Origins whose pages may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins(Vec<String>);

/// An origin that can never match.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "origin `{0}` is not of the form scheme://host[:port]: write it as a browser sends it, such as `https://app.example.com`"
)]
pub struct OriginError(String);

impl Origins {
    /// Takes origins as a browser sends them: `https://app.example.com`, or `*` for any.
    ///
    /// # Errors
    ///
    /// [`OriginError`] when one has a path or no scheme, as it would never match.
    pub fn new(origins: impl IntoIterator<Item = String>) -> Result<Self, OriginError> {
        origins
            .into_iter()
            .map(|origin| {
                let well_formed = origin == "*"
                    || origin.split_once("://").is_some_and(|(scheme, host)| {
                        !scheme.is_empty() && !host.is_empty() && !host.contains('/')
                    });
                if well_formed {
                    Ok(origin.to_ascii_lowercase())
                } else {
                    Err(OriginError(origin))
                }
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether any origin may connect.
    #[must_use]
    pub fn allow_any(&self) -> bool {
        self.0.iter().any(|allowed| allowed == "*")
    }

    /// Whether a request with this `Origin` header may connect. A request without one is not
    /// made by a page in a browser, so there is no page to impersonate.
    #[must_use]
    pub fn allow(&self, origin: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        self.0
            .iter()
            .any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(list: &[&str]) -> Origins {
        Origins::new(list.iter().map(ToString::to_string)).unwrap()
    }

    #[test]
    fn a_listed_origin_may_connect_whatever_its_case() {
        assert!(origins(&["https://App.example.com"]).allow(Some("https://app.example.com")));
    }

    #[test]
    fn another_origin_and_null_may_not_connect() {
        let origins = origins(&["https://app.example.com"]);
        assert!(!origins.allow(Some("https://app.example.com.evil.test")));
        assert!(!origins.allow(Some("null")));
    }

    #[test]
    fn a_client_that_is_no_browser_may_connect() {
        assert!(origins(&[]).allow(None));
    }

    #[test]
    fn an_origin_with_a_path_is_refused_with_its_text() {
        let error = Origins::new(["https://app.example.com/".to_string()]).unwrap_err();
        assert!(error.to_string().contains("https://app.example.com/"));
    }
}
