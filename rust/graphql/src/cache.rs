//! Documents by their text, so that a document is parsed once for all its subscribers.
//!
//! The locks are held for look-ups only; two threads that miss at once both parse.

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

/// Longest text that is kept (bytes). Longer documents are parsed for each request.
const MAX_KEPT_BYTES: usize = 16 * 1024;

/// All texts that are kept (bytes). Past it the least recently used documents leave, however few
/// they are: a document and its plans take up to some hundred times the memory of its text.
const MAX_TOTAL_BYTES: usize = 2 * 1024 * 1024;

/// Bounded cache of documents; safe to share between threads.
#[derive(Debug)]
pub struct DocumentCache {
    schema: Arc<Schema>,
    limits: DocumentLimits,
    documents: Mutex<Documents>,
    failures: Mutex<LruCache<Box<str>, Arc<[GraphQLError]>>>,
}

#[derive(Debug)]
struct Documents {
    by_text: LruCache<Box<str>, Arc<Document>>,
    total_bytes: usize,
}

impl Documents {
    fn put(&mut self, text: &str, document: Arc<Document>) {
        self.total_bytes += text.len();
        if let Some((replaced, _)) = self.by_text.push(text.into(), document) {
            self.total_bytes -= replaced.len();
        }
        while self.total_bytes > MAX_TOTAL_BYTES
            && let Some((oldest, _)) = self.by_text.pop_lru()
        {
            self.total_bytes -= oldest.len();
        }
    }
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
            documents: Mutex::new(Documents {
                by_text: LruCache::new(capacity),
                total_bytes: 0,
            }),
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
        self.documents.lock().by_text.len()
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
        if let Some(document) = self.documents.lock().by_text.get(text) {
            return Ok(document.clone());
        }
        let failure = self.failures.lock().get(text).cloned();
        if let Some(errors) = failure {
            return Err(errors.to_vec());
        }
        let is_kept = text.len() <= MAX_KEPT_BYTES;
        match Document::parse(self.schema.clone(), self.limits, text) {
            Ok(document) => {
                let document = Arc::new(document);
                if is_kept {
                    self.documents.lock().put(text, document.clone());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SchemaOptions;

    fn cache(capacity: usize) -> DocumentCache {
        let sdl = "type Subscription { tick: Int }";
        let schema = Schema::parse(sdl, SchemaOptions::default()).unwrap();
        let capacity = NonZeroUsize::new(capacity).unwrap();
        DocumentCache::new(schema, DocumentLimits::default(), capacity)
    }

    fn numbered(number: usize) -> String {
        format!("subscription S{number} {{ tick }}")
    }

    #[test]
    fn the_least_recently_used_document_leaves_first() {
        let cache = cache(2);
        let first = cache.get(&numbered(1)).unwrap();
        cache.get(&numbered(2)).unwrap();
        assert!(Arc::ptr_eq(&first, &cache.get(&numbered(1)).unwrap()));
        let second = cache.get(&numbered(2)).unwrap();
        cache.get(&numbered(3)).unwrap();
        assert_eq!(cache.len(), 2);
        assert!(Arc::ptr_eq(&second, &cache.get(&numbered(2)).unwrap()));
        assert!(!Arc::ptr_eq(&first, &cache.get(&numbered(1)).unwrap()));
    }

    #[test]
    fn refused_documents_do_not_push_out_valid_ones() {
        let cache = cache(2);
        let valid = cache.get(&numbered(1)).unwrap();
        for number in 0..300 {
            let text = format!("subscription {{ unknown{number} }}");
            assert_eq!(cache.get(&text).unwrap_err(), cache.get(&text).unwrap_err());
        }
        assert_eq!(cache.failures.lock().len(), FAILURES_KEPT.get());
        assert!(Arc::ptr_eq(&valid, &cache.get(&numbered(1)).unwrap()));
    }

    #[test]
    fn kept_texts_are_bounded_in_bytes() {
        let cache = cache(10_000);
        let comment = format!("#{}\n", "x".repeat(MAX_KEPT_BYTES - 100));
        for number in 0..200 {
            cache.get(&(numbered(number) + &comment)).unwrap();
        }
        assert!(cache.documents.lock().total_bytes <= MAX_TOTAL_BYTES);
        assert!(cache.len() < 200);
        cache.get(&(numbered(0) + &comment + &comment)).unwrap();
        let total: usize = cache
            .documents
            .lock()
            .by_text
            .iter()
            .map(|(text, _)| text.len())
            .sum();
        assert_eq!(total, cache.documents.lock().total_bytes);
    }
}
