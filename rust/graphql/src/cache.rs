//! Documents by their text, so that a document is parsed once for all its subscribers.
//!
//! The lock is held for look-ups only; two threads that miss at once both parse.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use crate::document::Document;
use crate::error::GraphQLError;
use crate::limits::DocumentLimits;
use crate::schema::Schema;

/// Refused documents that are kept with their errors (count). They have a cache of their own:
/// a client that sends rubbish does not push out what the others use.
const FAILURES_KEPT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(127);

/// Longest text that is kept (bytes). Longer documents are parsed for each request, so that the
/// memory of the cache is bounded by its capacity.
const MAX_KEPT_BYTES: usize = 16 * 1024;

/// Bounded cache of documents; safe to share between threads.
#[derive(Debug)]
pub struct DocumentCache {
    schema: Arc<Schema>,
    limits: DocumentLimits,
    documents: Mutex<LruCache<Box<str>, Arc<Document>>>,
    failures: Mutex<LruCache<Box<str>, Arc<[GraphQLError]>>>,
}

impl DocumentCache {
    /// An empty cache that keeps `capacity` documents (count), the least recently used leaving
    /// first.
    pub fn new(
        schema: impl Into<Arc<Schema>>,
        limits: DocumentLimits,
        capacity: NonZeroUsize,
    ) -> Self {
        Self {
            schema: schema.into(),
            limits,
            documents: Mutex::new(LruCache::new(capacity)),
            failures: Mutex::new(LruCache::new(FAILURES_KEPT)),
        }
    }

    /// The schema that documents are validated against.
    #[must_use]
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Documents that are kept at present (count).
    #[must_use]
    pub fn len(&self) -> usize {
        self.documents.lock().len()
    }

    /// Whether no document is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The document with this text: kept, or parsed and validated now.
    ///
    /// # Errors
    ///
    /// What is wrong with the document, with places and `extensions.code`.
    pub fn get(&self, text: &str) -> Result<Arc<Document>, Vec<GraphQLError>> {
        if let Some(document) = self.documents.lock().get(text) {
            return Ok(document.clone());
        }
        if let Some(errors) = self.failures.lock().get(text) {
            return Err(errors.to_vec());
        }
        let is_kept = text.len() <= MAX_KEPT_BYTES;
        match Document::parse(self.schema.clone(), self.limits, text) {
            Ok(document) => {
                let document = Arc::new(document);
                if is_kept {
                    self.documents.lock().put(text.into(), document.clone());
                }
                Ok(document)
            }
            Err(errors) => {
                if is_kept {
                    self.failures.lock().put(text.into(), errors.clone().into());
                }
                Err(errors)
            }
        }
    }
}
