//! Cache of documents, by text and by hash. A document is parsed once for all its subscribers. A
//! client may send the hash of a document instead of a text that it has sent before. `kept` decides
//! which documents stay.
//!
//! The locks are held only for look-ups; two threads that miss at the same time both parse.

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use super::Document;
use super::kept::Documents;
use super::plan_cache::PlanCache;
use super::reference::{
    CODE_PERSISTED_QUERY_NOT_FOUND, DocumentReference, TrustedDocuments, sha256,
};
use crate::error::{CODE_BAD_USER_INPUT, GraphQLError, request_error};
use crate::limits::DocumentLimits;
use crate::schema::Schema;

/// Refused documents that are kept with their errors (count). They have a separate cache, so that
/// invalid documents do not evict valid ones.
const FAILURES_KEPT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(127);

/// Largest errors that are kept with a refused document (bytes, approximate).
const MAX_FAILURE_BYTES: usize = 32 * 1024;

/// Longest text that is kept (bytes). Longer documents are parsed for each request.
const MAX_KEPT_BYTES: usize = 16 * 1024;

/// Bounded cache of documents; safe to share between threads.
#[derive(Debug)]
pub struct DocumentCache {
    schema: Arc<Schema>,
    limits: DocumentLimits,
    trusted: Option<TrustedDocuments>,
    documents: Mutex<Documents>,
    plans: Arc<PlanCache>,
    failures: Mutex<LruCache<Box<str>, Arc<[GraphQLError]>>>,
}

impl DocumentCache {
    /// Creates an empty cache of `capacity` documents (count); past it those that are sent once are
    /// dropped first.
    pub fn new(
        schema: impl Into<Arc<Schema>>,
        limits: DocumentLimits,
        capacity: NonZeroUsize,
    ) -> Self {
        Self {
            schema: schema.into(),
            limits,
            trusted: None,
            documents: Mutex::new(Documents::new(capacity)),
            plans: Arc::default(),
            failures: Mutex::new(LruCache::new(FAILURES_KEPT)),
        }
    }

    /// Restricts the cache to these documents.
    #[must_use]
    pub fn with_trusted(mut self, trusted: TrustedDocuments) -> Self {
        self.trusted = Some(trusted);
        self
    }

    /// Returns the ids of trusted documents that would be refused, each with its errors.
    #[must_use]
    pub fn refused_trusted(&self) -> Vec<(&str, Vec<GraphQLError>)> {
        let documents = self.trusted.iter().flat_map(TrustedDocuments::iter);
        let refused = documents.filter_map(|(id, text)| Some((id, self.get(text).err()?)));
        refused.collect()
    }

    /// Returns the schema that documents are validated against.
    #[must_use]
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Returns the number of kept documents.
    #[must_use]
    pub fn len(&self) -> usize {
        self.documents.lock().len()
    }

    /// Whether no document is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the document that a request refers to.
    ///
    /// A request with hash and text adds the hash for as long as the document is kept.
    ///
    /// # Errors
    ///
    /// The errors of the document or of the reference, with `extensions.code`.
    pub fn find(
        &self,
        reference: DocumentReference<'_>,
    ) -> Result<Arc<Document>, Vec<GraphQLError>> {
        let text = self.text(reference)?;
        let document = self.get(&text)?;
        if let (None, Some(text), Some(hash)) = (&self.trusted, reference.text, reference.sha256) {
            self.documents.lock().name(text, hash.to_owned());
        }
        Ok(document)
    }

    /// Returns the text of a document that [`Self::find`] has refused because of the schema, for
    /// the host's own executor. `None`: the request names no document, or the document is past the
    /// limits.
    #[must_use]
    pub fn judged_by_schema(&self, reference: DocumentReference<'_>) -> Option<String> {
        let text = self.text(reference).ok()?;
        Document::is_within(self.limits, &text).then(|| text.into_owned())
    }

    /// Returns the text that a request refers to.
    fn text<'t>(
        &'t self,
        reference: DocumentReference<'t>,
    ) -> Result<Cow<'t, str>, Vec<GraphQLError>> {
        if let Some(trusted) = &self.trusted {
            return trusted.find(reference).map(|text| Cow::Borrowed(&**text));
        }
        match (reference.text, reference.sha256) {
            (Some(text), None) => Ok(text.into()),
            (Some(text), Some(hash)) => {
                if sha256(text) != hash {
                    let message = "the document is not the one that `persistedQuery.sha256Hash` names: hash its exact text";
                    return Err(request_error(message, CODE_BAD_USER_INPUT));
                }
                Ok(text.into())
            }
            (None, Some(hash)) => {
                let known = self.documents.lock().named(hash);
                match known {
                    Some(text) => Ok(text.to_string().into()),
                    // Clients recognise this text: they then send hash and text.
                    None => Err(request_error(
                        "PersistedQueryNotFound",
                        CODE_PERSISTED_QUERY_NOT_FOUND,
                    )),
                }
            }
            (None, None) => {
                let message = "the request has no document: send `query`";
                Err(request_error(message, CODE_BAD_USER_INPUT))
            }
        }
    }

    /// Returns the document with this text, from the cache, or parsed and validated now.
    ///
    /// # Errors
    ///
    /// The errors of the document, with locations and `extensions.code`.
    pub fn get(&self, text: &str) -> Result<Arc<Document>, Vec<GraphQLError>> {
        if let Some(document) = self.documents.lock().get(text) {
            return Ok(document);
        }
        let failure = self.failures.lock().get(text).cloned();
        if let Some(errors) = failure {
            return Err(errors.to_vec());
        }
        let is_kept = text.len() <= MAX_KEPT_BYTES;
        match Document::parse(self.schema.clone(), self.limits, text) {
            Ok(document) => {
                if !is_kept {
                    return Ok(Arc::new(document));
                }
                let document = Arc::new(document.with_plans(self.plans.clone()));
                // Without the lock: it walks through the document.
                let bytes = document.weigh();
                self.documents
                    .lock()
                    .put(document.text.clone(), document.clone(), bytes);
                Ok(document)
            }
            Err(errors) => {
                if is_kept && weight(&errors) <= MAX_FAILURE_BYTES {
                    self.failures.lock().put(text.into(), errors.clone().into());
                }
                Err(errors)
            }
        }
    }
}

/// Returns the size of errors (bytes, approximate).
fn weight(errors: &[GraphQLError]) -> usize {
    let of_one = |error: &GraphQLError| {
        size_of::<GraphQLError>() + error.message.len() + size_of_val(error.locations.as_slice())
    };
    errors.iter().map(of_one).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::kept::MAX_TOTAL_BYTES;
    use crate::document::plan_cache::MAX_BYTES;
    use crate::{Operation, SchemaOptions};

    fn cache(capacity: usize) -> DocumentCache {
        let sdl = "type Subscription { tick: Int }";
        let schema = Schema::parse(sdl, SchemaOptions::default()).unwrap();
        let capacity = NonZeroUsize::new(capacity).unwrap();
        DocumentCache::new(schema, DocumentLimits::default(), capacity)
    }

    fn numbered(number: usize) -> String {
        format!("subscription S{number} {{ tick }}")
    }

    /// Whether the document is still kept.
    fn is_kept(cache: &DocumentCache, number: usize, document: &Arc<Document>) -> bool {
        Arc::ptr_eq(document, &cache.get(&numbered(number)).unwrap())
    }

    #[test]
    fn of_documents_that_are_sent_once_the_oldest_leaves_first() {
        let cache = cache(2);
        let first = cache.get(&numbered(1)).unwrap();
        let second = cache.get(&numbered(2)).unwrap();
        cache.get(&numbered(3)).unwrap();
        assert_eq!(cache.len(), 2);
        assert!(is_kept(&cache, 2, &second));
        assert!(!is_kept(&cache, 1, &first));
    }

    #[test]
    fn a_hundred_thousand_documents_of_one_use_push_out_none_that_is_used() {
        let cache = cache(100);
        let used: Vec<_> = (0..60).map(|n| cache.get(&numbered(n)).unwrap()).collect();
        for (number, document) in used.iter().enumerate() {
            assert!(is_kept(&cache, number, document));
        }
        // Parsed before, so that only the cache is asked.
        let other = cache.get(&numbered(60)).unwrap();
        for number in 0..100_000 {
            let text = numbered(1_000 + number).into();
            cache.documents.lock().put(text, other.clone(), 1_000);
        }
        assert_eq!(cache.len(), 100);
        for (number, document) in used.iter().enumerate() {
            assert!(is_kept(&cache, number, document), "{number}");
        }
    }

    #[test]
    fn documents_that_are_sent_twice_push_out_none_that_was_used_often() {
        let cache = cache(100);
        let used: Vec<_> = (0..60).map(|n| cache.get(&numbered(n)).unwrap()).collect();
        for number in (0..60).cycle().take(60 * 100) {
            cache.get(&numbered(number)).unwrap();
        }
        for number in 1_000..1_200 {
            cache.get(&numbered(number)).unwrap();
            cache.get(&numbered(number)).unwrap();
        }
        for (number, document) in used.iter().enumerate() {
            assert!(is_kept(&cache, number, document), "{number}");
        }
    }

    #[test]
    fn very_many_documents_that_are_sent_twice_push_out_none_that_was_used_more_often() {
        let cache = cache(1_000);
        let used: Vec<_> = (0..20).map(|n| cache.get(&numbered(n)).unwrap()).collect();
        for number in (0..20).cycle().take(20 * 5) {
            cache.get(&numbered(number)).unwrap();
        }
        // Parsed before, so that only the cache is asked.
        let other = cache.get(&numbered(20)).unwrap();
        for number in 1_000..10_000 {
            let mut documents = cache.documents.lock();
            documents.put(numbered(number).into(), other.clone(), 1_000);
            documents.get(&numbered(number));
        }
        for (number, document) in used.iter().enumerate() {
            assert!(is_kept(&cache, number, document), "{number}");
        }
    }

    #[test]
    fn documents_that_were_used_often_long_ago_make_room() {
        let cache = cache(16);
        let idle: Vec<_> = (0..12).map(|n| cache.get(&numbered(n)).unwrap()).collect();
        for number in (0..12).cycle().take(12 * 50) {
            cache.get(&numbered(number)).unwrap();
        }
        for number in (20..24).cycle().take(4 * 2_000) {
            cache.get(&numbered(number)).unwrap();
        }
        for number in 100..200 {
            cache.get(&numbered(number)).unwrap();
            cache.get(&numbered(number)).unwrap();
        }
        let gone = (0..12).zip(&idle);
        assert!(
            gone.filter(|(number, document)| !is_kept(&cache, *number, document))
                .count()
                > 8
        );
    }

    #[test]
    fn documents_that_are_no_longer_used_make_room() {
        let cache = cache(16);
        for number in (0..12).cycle().take(12 * 50) {
            cache.get(&numbered(number)).unwrap();
        }
        for number in (20..24).cycle().take(4 * 500) {
            cache.get(&numbered(number)).unwrap();
        }
        let kept: Vec<_> = (20..24).map(|n| cache.get(&numbered(n)).unwrap()).collect();
        for number in 100..200 {
            cache.get(&numbered(number)).unwrap();
        }
        for (number, document) in (20..24).zip(&kept) {
            assert!(is_kept(&cache, number, document), "{number}");
        }
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
    fn documents_are_bounded_by_the_memory_that_they_take() {
        let cache = cache(100_000);
        let small = cache.get(&numbered(0)).unwrap();
        let one = cache.documents.lock().sizes().1;
        let fields = "tick ".repeat(200);
        let large = format!("subscription {{ {fields} }}");
        // A text of the same length, and of less to keep.
        let comment = format!("subscription {{ tick }} #{}", "x".repeat(large.len() - 24));
        let weights = [&comment, &large].map(|text| cache.get(text).unwrap().weigh());
        assert!(weights[1] > 3 * weights[0], "{weights:?}");
        assert!(cache.documents.lock().sizes().1 > one + weights[0] + weights[1]);

        let documents = &mut *cache.documents.lock();
        let count = 2 * MAX_TOTAL_BYTES / weights[1];
        for number in 1..count {
            let text = numbered(number).into();
            documents.put(text, small.clone(), weights[1]);
            let (counted, bytes, _) = documents.sizes();
            assert_eq!(counted, bytes);
            assert!(bytes <= MAX_TOTAL_BYTES);
        }
        assert!((count / 3..count).contains(&documents.len()));
    }

    #[test]
    fn a_document_that_takes_much_memory_is_not_kept() {
        let cache = cache(100);
        let document = cache.get(&numbered(0)).unwrap();
        let documents = &mut *cache.documents.lock();
        documents.put(numbered(1).into(), document, MAX_TOTAL_BYTES / 2);
        assert_eq!(documents.len(), 1);
    }

    #[test]
    fn plans_are_bounded_in_bytes_over_all_documents() {
        let fields: String = (0..200).map(|number| format!("f{number}: Int ")).collect();
        let sdl = format!("type Subscription {{ tick: Tick }} type Tick {{ {fields} }}");
        let schema = Schema::parse(&sdl, SchemaOptions::default()).unwrap();
        let limits = DocumentLimits {
            max_complexity: None,
            max_aliases: None,
            ..DocumentLimits::default()
        };
        let cache = DocumentCache::new(schema, limits, NonZeroUsize::new(10_000).unwrap());
        let fields: String = (0..200).map(|number| format!("f{number} ")).collect();
        let mut largest = 0;
        for number in 0..1_000 {
            let document = cache.get(&format!(
                "subscription S{number}($a: Boolean!) {{ tick {{ f0 @skip(if: $a) {fields} }} }}"
            ));
            let document = document.unwrap();
            for is_skipped in [true, false] {
                let variables = serde_json::json!({ "a": is_skipped });
                let variables = variables.as_object().cloned().unwrap();
                let Operation::Subscription(operation) =
                    document.operation(None, variables).unwrap()
                else {
                    panic!("a subscription");
                };
                largest = largest.max(operation.plan.bytes());
            }
        }
        let (count, bytes) = cache.plans.size();
        assert!(bytes <= MAX_BYTES, "{bytes}");
        assert!(bytes > MAX_BYTES - 2 * largest, "{bytes}");
        assert!(count < 2_000, "{count}");
    }

    #[test]
    fn a_hash_is_known_once_its_text_was_sent_and_while_it_is_kept() {
        let cache = cache(1);
        let text = numbered(1);
        let hash = sha256(&text);
        let by_hash = DocumentReference {
            sha256: Some(&hash),
            ..DocumentReference::default()
        };
        let unknown = cache.find(by_hash).unwrap_err();
        assert_eq!(unknown[0].message, "PersistedQueryNotFound");
        let with_text = DocumentReference {
            text: Some(&text),
            ..by_hash
        };
        let document = cache.find(with_text).unwrap();
        assert!(Arc::ptr_eq(&document, &cache.find(by_hash).unwrap()));
        cache.get(&numbered(2)).unwrap();
        assert_eq!(cache.find(by_hash).unwrap_err(), unknown);
        assert_eq!(cache.documents.lock().sizes().2, 0);
    }

    #[test]
    fn a_hash_of_another_text_is_refused_and_not_kept() {
        let cache = cache(1);
        let (text, hash) = (numbered(1), sha256(&numbered(2)));
        let reference = DocumentReference {
            text: Some(&text),
            sha256: Some(&hash),
            id: None,
        };
        assert_eq!(
            cache.find(reference).unwrap_err()[0].extensions["code"],
            CODE_BAD_USER_INPUT
        );
        assert_eq!(cache.documents.lock().sizes().2, 0);
    }

    #[test]
    fn trusted_documents_that_would_be_refused_are_told_with_their_ids() {
        let documents = [
            ("b", "{ nothing }"),
            ("a", "subscription {"),
            ("c", "subscription { tick }"),
        ];
        let documents = documents.map(|(id, text)| (id.to_owned(), text.to_owned()));
        let cache = cache(4).with_trusted(TrustedDocuments::new(documents));
        let refused = cache.refused_trusted();
        assert_eq!(
            refused.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert!(refused[1].1[0].message.contains("nothing"));
    }

    #[test]
    fn trusted_documents_are_found_by_id_hash_and_text_and_nothing_else_is() {
        let (text, other) = (numbered(1), numbered(2));
        let hash = sha256(&text);
        let trusted = TrustedDocuments::new([("ticks".to_owned(), text.clone())]);
        let cache = cache(4).with_trusted(trusted);
        let none = DocumentReference::default();
        let prefixed = format!("sha256:{hash}");
        for reference in [
            DocumentReference::text(&text),
            DocumentReference {
                id: Some("ticks"),
                ..none
            },
            DocumentReference {
                id: Some(&prefixed),
                ..none
            },
            DocumentReference {
                sha256: Some(&hash),
                ..none
            },
            DocumentReference {
                sha256: Some("ticks"),
                ..none
            },
        ] {
            assert!(cache.find(reference).is_ok(), "{reference:?}");
        }
        for reference in [
            none,
            DocumentReference::text(&other),
            DocumentReference {
                id: Some("other"),
                ..none
            },
            DocumentReference {
                id: Some("ticks"),
                ..DocumentReference::text(&other)
            },
        ] {
            let errors = cache.find(reference).unwrap_err();
            assert_eq!(errors[0].extensions["code"], "DOCUMENT_NOT_TRUSTED");
        }
    }
}
