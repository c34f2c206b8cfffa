//! Converts what `serve` has of its connections.
//!
//! Not here: where a server listens (`core`).

use pyo3::prelude::*;
use server::{PublishRoute, Routes, SiteConfig, TrustedProxies};

use crate::error::exceptions;
use crate::publish_keys::PublishKeys;

/// Returns what a server serves. `publish`: the path at which programs publish, and their keys.
///
/// # Errors
///
/// `ConfigurationError`: a text names no proxy.
pub(crate) fn site(
    path: String,
    publish: Option<(String, Py<PublishKeys>)>,
    compress: bool,
    trusted_proxies: Vec<String>,
) -> PyResult<SiteConfig> {
    let publish = publish.map(|(path, keys)| PublishRoute {
        path,
        keys: keys.get().keys().clone(),
    });
    let proxies = TrustedProxies::new(trusted_proxies)
        .map_err(|error| exceptions::ConfigurationError::new_err(error.to_string()))?;
    Ok(SiteConfig {
        routes: Routes {
            graphql: path,
            publish,
        },
        compress,
        proxies,
    })
}
