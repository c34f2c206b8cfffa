//! All rules of one manager.

use std::sync::Arc;

use crate::error::Check;
use crate::federation::Federation;
use crate::host::Hosts;
use crate::origin::{Origins, is_same_origin};
use crate::rate::Rates;
use crate::rbac::Rbac;
use crate::rows::RowFilter;
use crate::scope::Scope;
use crate::tenant::TenantIsolation;

/// The checks that clients have to pass; an absent check is not applied.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Pages that may connect.
    pub origins: Option<Origins>,
    /// Host names that requests may use.
    pub hosts: Option<Hosts>,
    /// Additional host names for the status pages.
    pub status_hosts: Option<Hosts>,
    /// Restriction of arguments to values of the identity.
    pub scope: Option<Scope>,
    /// Permissions.
    pub rbac: Option<Rbac>,
    /// Tenant isolation.
    pub tenant: Option<TenantIsolation>,
    /// Row filters; an event has to pass all that apply.
    pub rows: Vec<RowFilter>,
    /// The subgraph that is served.
    pub federation: Option<Arc<Federation>>,
    /// Rates.
    pub rates: Option<Rates>,
}

/// The headers about the page and the host of a request. None of them is repeated.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestSource<'a> {
    /// `Origin`.
    pub origin: Option<&'a str>,
    /// `Host`.
    pub host: Option<&'a str>,
    /// `Sec-Fetch-Site`.
    pub fetch_site: Option<&'a str>,
    /// `Sec-Fetch-Mode`.
    pub fetch_mode: Option<&'a str>,
}

impl RequestSource<'_> {
    /// Whether it may come from a page although it has no `Origin`: browsers leave it out for
    /// embedded resources that the page cannot read, such as images. Following a link counts as a
    /// request of the user.
    fn is_embedded(&self) -> bool {
        let is_own = |site| matches!(site, "same-origin" | "none");
        self.fetch_site.is_some_and(|site| !is_own(site)) && self.fetch_mode != Some("navigate")
    }
}

impl Policy {
    /// Checks the origin and host of a request, before any other part of it is read.
    ///
    /// # Errors
    ///
    /// The check that it fails.
    pub fn admit(&self, source: &RequestSource<'_>) -> Result<(), Check> {
        if let Some(hosts) = &self.hosts
            && !hosts.allow(source.host)
        {
            return Err(Check::Host);
        }
        let Some(origins) = &self.origins else {
            return Ok(());
        };
        let Some(origin) = source.origin else {
            let may_pass = origins.allow_any() || !source.is_embedded();
            return may_pass.then_some(()).ok_or(Check::Origin);
        };
        // If hosts are listed, the host has passed the check above, so it is the server's own.
        let is_own_page =
            self.hosts.is_some() && source.host.is_some_and(|host| is_same_origin(origin, host));
        let may_pass = is_own_page || origins.allow(origin);
        may_pass.then_some(()).ok_or(Check::Origin)
    }

    /// Like [`Self::admit`], for the status pages.
    ///
    /// # Errors
    ///
    /// The host is not listed.
    pub fn admit_to_status(&self, host: Option<&str>) -> Result<(), Check> {
        let Some(hosts) = &self.hosts else {
            return Ok(());
        };
        let further = self.status_hosts.as_ref();
        let may_pass = hosts.allow(host) || further.is_some_and(|further| further.allow(host));
        may_pass.then_some(()).ok_or(Check::Host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy {
            origins: Some(Origins::new(["https://app.test".to_owned()]).unwrap()),
            hosts: Some(Hosts::new(["api.test".to_owned()]).unwrap()),
            ..Policy::default()
        }
    }

    #[test]
    fn a_request_without_a_clear_origin_is_denied() {
        for (origin, host, site, mode, expected) in [
            (
                Some("https://app.test"),
                Some("api.test"),
                None,
                None,
                Ok(()),
            ),
            (
                Some("https://api.test"),
                Some("api.test"),
                None,
                None,
                Ok(()),
            ),
            (None, Some("api.test"), None, None, Ok(())),
            (
                None,
                Some("api.test"),
                Some("same-origin"),
                Some("cors"),
                Ok(()),
            ),
            (
                None,
                Some("api.test"),
                Some("none"),
                Some("navigate"),
                Ok(()),
            ),
            (
                None,
                Some("api.test"),
                Some("cross-site"),
                Some("navigate"),
                Ok(()),
            ),
            (
                None,
                Some("api.test"),
                Some("cross-site"),
                Some("no-cors"),
                Err(Check::Origin),
            ),
            (
                None,
                Some("api.test"),
                Some("same-site"),
                None,
                Err(Check::Origin),
            ),
            (None, Some("api.test"), Some("?1"), None, Err(Check::Origin)),
            (None, Some("api.test"), Some(""), None, Err(Check::Origin)),
            (
                Some("null"),
                Some("api.test"),
                None,
                None,
                Err(Check::Origin),
            ),
            (Some(""), Some("api.test"), None, None, Err(Check::Origin)),
            (
                Some("https://app.test\u{e9}"),
                Some("api.test"),
                None,
                None,
                Err(Check::Origin),
            ),
            (
                Some("https://app.test"),
                Some("evil.test"),
                None,
                None,
                Err(Check::Host),
            ),
            (Some("https://app.test"), None, None, None, Err(Check::Host)),
        ] {
            let source = RequestSource {
                origin,
                host,
                fetch_site: site,
                fetch_mode: mode,
            };
            assert_eq!(policy().admit(&source), expected, "{source:?}");
        }
    }

    #[test]
    fn status_has_the_hosts_of_the_server_and_its_own() {
        let mut policy = policy();
        assert_eq!(policy.admit_to_status(Some("api.test")), Ok(()));
        assert_eq!(policy.admit_to_status(Some("10.0.0.7")), Err(Check::Host));
        policy.status_hosts = Some(Hosts::with_any(["10.0.0.7".to_owned()]).unwrap());
        assert_eq!(policy.admit_to_status(Some("10.0.0.7:8000")), Ok(()));
        assert_eq!(policy.admit_to_status(Some("api.test")), Ok(()));
        assert_eq!(policy.admit_to_status(None), Err(Check::Host));
        assert_eq!(Policy::default().admit_to_status(None), Ok(()));
    }
}
