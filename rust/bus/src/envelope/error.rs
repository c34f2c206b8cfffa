//! Why an envelope was not written, or cannot be read.

/// Why an envelope was not written, or cannot be read. Not retryable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// There are fewer bytes than the prefix has.
    #[error("not an envelope: it has {bytes} bytes, and an envelope has at least 4")]
    TooShort {
        /// The number of bytes.
        bytes: usize,
    },
    /// The first byte is not a version.
    #[error(
        "not an envelope: its first byte is {byte:#04x}, and versions are 1 to {}",
        super::LAST_VERSION
    )]
    NoVersion {
        /// The first byte.
        byte: u8,
    },
    /// The envelope has a version that this program does not read.
    #[error("version {version} of the envelope is newer than this program reads (1): upgrade it")]
    Newer {
        /// The first byte.
        version: u8,
    },
    /// Another producer has written bare JSON.
    #[error("bare JSON instead of an envelope: switch on `accept_raw`, or write an envelope")]
    Raw,
    /// A flag is set that version 1 does not use.
    #[error("flags {flags:#04x} are set, and version 1 does not define {unused:#04x} of them")]
    Flags {
        /// The second byte.
        flags: u8,
        /// The flags that version 1 does not define.
        unused: u8,
    },
    /// The data are compressed or signed, which this program does not read.
    #[error("the data are {what}, which this program does not read")]
    Reserved {
        /// `compressed` or `signed`.
        what: &'static str,
    },
    /// The head is longer than the bytes that follow.
    #[error("the length of the head is {head} bytes, but only {rest} bytes follow")]
    HeadTooLong {
        /// The declared length of the head (bytes).
        head: usize,
        /// The bytes that follow (count).
        rest: usize,
    },
    /// The head ends before the end of a field.
    #[error("the head ends within its field `{field}`")]
    Truncated {
        /// The field.
        field: &'static str,
    },
    /// A text field is not UTF-8.
    #[error("`{field}` is not UTF-8")]
    NotUtf8 {
        /// The field.
        field: &'static str,
    },
    /// A channel has at least one character.
    #[error("the channel is absent or empty")]
    NoChannel,
    /// The head has an extension twice.
    #[error("the head has its extension {key:#04x} twice")]
    Duplicate {
        /// The extension.
        key: u8,
    },
    /// The data are not JSON, or are nested too deep.
    #[error("the data cannot be read as JSON: {0}")]
    Json(String),
    /// A field is too long to be written.
    #[error(
        "`{field}` has {bytes} bytes, and an engine carries at most {}",
        super::MAX_FIELD_BYTES
    )]
    FieldTooLong {
        /// The field.
        field: &'static str,
        /// Its length (bytes of UTF-8).
        bytes: usize,
    },
    /// The data are nested too deep for readers.
    #[error(
        "the data are nested deeper than {} levels, which readers of JSON refuse",
        super::MAX_DATA_DEPTH
    )]
    TooDeep,
}
