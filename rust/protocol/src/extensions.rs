//! `extensions` of a request: the text, and the members that the server uses.

use std::fmt;
use std::sync::Arc;

use crate::json::{JsonObject, JsonSlice, Reader, Unreadable};
use crate::operation::{OperationId, Resume, ResumeFault};

/// The extensions of a request. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Extensions {
    object: JsonObject,
    /// `None`: the request has no member that the server uses.
    known: Option<Arc<Known>>,
}

/// The members that the server uses.
#[derive(Debug, Clone, PartialEq, Default)]
struct Known {
    sha256: Option<Arc<str>>,
    subgraph: Option<Arc<str>>,
    operation_id: Option<OperationId>,
    resume: Option<Result<Option<Arc<str>>, ResumeFault>>,
}

impl Extensions {
    /// Parses the text of a JSON object.
    ///
    /// # Errors
    ///
    /// As [`JsonObject::parse`].
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        let members = Reader::read(text, ExtensionMembers::read)?;
        if !members.whole.is_object() {
            return Err(Unreadable::NoObject);
        }
        Ok(Self::of(&members))
    }

    /// Creates extensions from a parsed object.
    pub(crate) fn of(members: &ExtensionMembers<'_>) -> Self {
        let text = |value: Option<JsonSlice<'_>>| value.and_then(|value| value.string());
        let after = |after: Option<JsonSlice<'_>>| match after {
            None => Ok(None),
            Some(after) => match after.string() {
                Some(after) => Ok(Some(after.into())),
                None => Err(ResumeFault::NoString),
            },
        };
        let operation_id = text(members.operation_id).filter(|id| !id.is_empty());
        let known = Known {
            sha256: text(members.sha256).map(Into::into),
            // A value that is not a string names no subgraph.
            subgraph: members
                .subgraph
                .map(|subgraph| subgraph.string().unwrap_or_default().into()),
            operation_id: operation_id.map(|id| id.as_str().into()),
            resume: members.resume.map(|resume| match resume.is_object() {
                true if members.resume_has_unknown => Err(ResumeFault::Unknown),
                true => after(members.resume_after),
                false => Err(ResumeFault::NoObject),
            }),
        };
        Self {
            object: JsonObject::of(&members.whole),
            known: (known != Known::default()).then(|| Arc::new(known)),
        }
    }

    /// Returns the SHA-256 of the document, which clients of automatic persisted queries send.
    #[must_use]
    pub fn sha256(&self) -> Option<&str> {
        self.known.as_ref()?.sha256.as_deref()
    }

    /// Returns the subgraph that a request is for; empty if it is not a string.
    #[must_use]
    pub fn subgraph(&self) -> Option<&str> {
        self.known.as_ref()?.subgraph.as_deref()
    }

    /// Returns the id of an operation on an event stream.
    pub(crate) fn operation_id(&self) -> Option<&OperationId> {
        self.known.as_ref()?.operation_id.as_ref()
    }

    /// Returns the position after which a subscription resumes.
    pub(crate) fn resume(&self) -> Result<Resume, ResumeFault> {
        let asked = self.known.as_ref().and_then(|known| known.resume.clone());
        let Some(asked) = asked else {
            return Ok(Resume::default());
        };
        Ok(Resume {
            after: asked?.map(|after| after.to_string()),
            is_asked: true,
        })
    }

    /// Returns the memory that it keeps (bytes).
    pub(crate) fn kept_bytes(&self) -> usize {
        let known = self.known.as_ref().map_or(0, |known| known.kept_bytes());
        self.object.kept_bytes() + known
    }
}

impl Known {
    fn kept_bytes(&self) -> usize {
        let after = match &self.resume {
            Some(Ok(after)) => after.as_ref(),
            None | Some(Err(_)) => None,
        };
        let texts = [self.sha256.as_ref(), self.subgraph.as_ref(), after];
        let texts = texts.into_iter().flatten().map(|text| text.len());
        let id = self.operation_id.as_ref().map_or(0, |id| id.as_str().len());
        texts.sum::<usize>() + id
    }
}

impl fmt::Display for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.object.fmt(f)
    }
}

/// Parsed `extensions`: the whole object, and the members that the server uses. A member that is
/// `null` counts as absent, except for `subgraph`.
#[derive(Clone, Copy)]
pub(crate) struct ExtensionMembers<'t> {
    pub(crate) whole: JsonSlice<'t>,
    sha256: Option<JsonSlice<'t>>,
    subgraph: Option<JsonSlice<'t>>,
    operation_id: Option<JsonSlice<'t>>,
    resume: Option<JsonSlice<'t>>,
    resume_after: Option<JsonSlice<'t>>,
    resume_has_unknown: bool,
}

impl<'t> ExtensionMembers<'t> {
    pub(crate) fn read(reader: &mut Reader<'t>) -> Result<Self, Unreadable> {
        let (mut sha256, mut subgraph, mut operation_id) = (None, None, None);
        let (mut resume, mut resume_after, mut resume_has_unknown) = (None, None, false);
        let whole = reader.object(|reader, name| {
            match name {
                "persistedQuery" => {
                    sha256 = None;
                    reader.object(|reader, name| match name {
                        "sha256Hash" => reader.value().map(|hash| sha256 = Some(hash)),
                        _ => reader.pass(),
                    })?;
                }
                "resume" => {
                    (resume_after, resume_has_unknown) = (None, false);
                    let object = reader.object(|reader, name| match name {
                        "after" => reader.value().map(|after| resume_after = after.given()),
                        _ => {
                            resume_has_unknown = true;
                            reader.pass()
                        }
                    })?;
                    resume = object.given();
                }
                "subgraph" => subgraph = Some(reader.value()?),
                "operationId" => operation_id = Some(reader.value()?),
                _ => reader.pass()?,
            }
            Ok(())
        })?;
        Ok(Self {
            whole,
            sha256,
            subgraph,
            operation_id,
            resume,
            resume_after,
            resume_has_unknown,
        })
    }
}
