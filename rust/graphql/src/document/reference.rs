//! References of requests to documents, and trusted documents.
//!
//! Sources: automatic persisted queries of Apollo clients (`extensions.persistedQuery.sha256Hash`),
//! `documentId` of the GraphQL over HTTP specification, appendix "Persisted Documents".

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::error::{GraphQLError, request_error};

/// `extensions.code` if the hash of a document is unknown: the client then sends its text too.
pub const CODE_PERSISTED_QUERY_NOT_FOUND: &str = "PERSISTED_QUERY_NOT_FOUND";
/// `extensions.code` of a document that is not among the trusted ones.
pub const CODE_DOCUMENT_NOT_TRUSTED: &str = "DOCUMENT_NOT_TRUSTED";

/// The reference of a request to its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DocumentReference<'r> {
    /// Its text.
    pub text: Option<&'r str>,
    /// The SHA-256 of its text, in hexadecimal digits.
    pub sha256: Option<&'r str>,
    /// Its id among the trusted documents.
    pub id: Option<&'r str>,
}

impl<'r> DocumentReference<'r> {
    /// Creates a reference by text only.
    #[must_use]
    pub fn text(text: &'r str) -> Self {
        Self {
            text: Some(text),
            ..Self::default()
        }
    }
}

/// The only documents that are served, by id.
#[derive(Debug, Clone, Default)]
pub struct TrustedDocuments {
    by_id: HashMap<String, Arc<str>>,
    by_sha256: HashMap<String, Arc<str>>,
}

impl TrustedDocuments {
    /// Creates the list from pairs of id and text. Each document is also found by its SHA-256 and
    /// by its text.
    pub fn new(documents: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut trusted = Self::default();
        for (id, text) in documents {
            let text: Arc<str> = text.into();
            trusted.by_sha256.insert(sha256(&text), text.clone());
            trusted.by_id.insert(id, text);
        }
        trusted
    }

    /// Returns the documents with their ids, ordered by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut documents: Vec<_> = self.by_id.iter().collect();
        documents.sort_unstable_by_key(|(id, _)| *id);
        documents.into_iter().map(|(id, text)| (&**id, &**text))
    }

    /// Returns the text of the referenced document.
    pub(crate) fn find(
        &self,
        reference: DocumentReference<'_>,
    ) -> Result<&Arc<str>, Vec<GraphQLError>> {
        let by_hash = |hash: &str| self.by_sha256.get(hash);
        let by_id = |id: &str| {
            let hash = id.strip_prefix("sha256:").unwrap_or(id);
            self.by_id.get(id).or_else(|| by_hash(hash))
        };
        let document = match reference {
            DocumentReference { id: Some(id), .. } => by_id(id),
            DocumentReference {
                sha256: Some(hash), ..
            } => by_hash(hash).or_else(|| by_id(hash)),
            DocumentReference {
                text: Some(text), ..
            } => by_hash(&sha256(text)),
            DocumentReference { .. } => None,
        };
        // A text that is sent with the id has to be the trusted text.
        let is_same = |document: &&Arc<str>| reference.text.is_none_or(|text| text == &***document);
        document.filter(is_same).ok_or_else(|| {
            let message = "only trusted documents are served here, and this is not one of them: add it to `trusted_documents`";
            request_error(message, CODE_DOCUMENT_NOT_TRUSTED)
        })
    }
}

/// Returns the SHA-256 in lower-case hexadecimal digits.
pub(crate) fn sha256(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))
}
