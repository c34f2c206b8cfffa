//! Converts what `serve` has of its connections.
//!
//! Not here: where a server listens (`core`).

use pyo3::prelude::*;
use server::{PublishRoute, Routes, SiteConfig, TrustedProxies};

use crate::error::exceptions;
use crate::publish_keys::PublishKeys;

/// `fraiseql_subs.server.Site`: what a server serves, and behind which proxies.
#[derive(FromPyObject)]
pub(crate) struct PySite {
    path: String,
    root_path: String,
    /// The path at which programs publish, and their keys.
    publish: Option<(String, Py<PublishKeys>)>,
    compression: bool,
    trusted_proxies: Vec<String>,
    proxy_protocol: bool,
}

impl PySite {
    /// Converts it.
    ///
    /// # Errors
    ///
    /// `ConfigurationError`: a text names no proxy.
    pub(crate) fn read(self) -> PyResult<SiteConfig> {
        let publish = self.publish.map(|(path, keys)| PublishRoute {
            path,
            keys: keys.get().keys().clone(),
        });
        let proxies = TrustedProxies::new(self.trusted_proxies)
            .map_err(|error| exceptions::ConfigurationError::new_err(error.to_string()))?;
        Ok(SiteConfig {
            routes: Routes {
                root: self.root_path,
                graphql: self.path,
                publish,
            },
            compress: self.compression,
            proxies,
            proxy_protocol: self.proxy_protocol,
        })
    }
}
