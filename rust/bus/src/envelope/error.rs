//! Why an envelope was not written, or cannot be read.

/// Why an envelope was not written, or cannot be read. Trying again is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not even the length of the head is there.
    #[error("{bytes} bytes are no envelope: it has at least 4")]
    TooShort {
        /// How many there are.
        bytes: usize,
    },
    /// The first byte is no version.
    #[error(
        "no envelope: its first byte is {byte:#04x}, and versions are 1 to {}",
        super::LAST_VERSION
    )]
    NoVersion {
        /// The first byte.
        byte: u8,
    },
    /// Another program has written it in a version that this one does not read.
    #[error("version {version} of the envelope is newer than this program reads (1): upgrade it")]
    Newer {
        /// The first byte.
        version: u8,
    },
    /// It is bare JSON of another producer.
    #[error("no envelope but bare JSON: switch on `accept_raw`, or write an envelope")]
    Raw,
    /// A flag is set that version 1 does not use.
    #[error("flags {flags:#04x} are set, and {unused:#04x} of them mean nothing in version 1")]
    Flags {
        /// The second byte.
        flags: u8,
        /// The flags that are not read.
        unused: u8,
    },
    /// The data are compressed or signed, which this program does not read.
    #[error("the data are {what}, which this program does not read")]
    Reserved {
        /// `compressed` or `signed`.
        what: &'static str,
    },
    /// The head does not fit into the bytes.
    #[error("the head has {head} bytes by its length, but {rest} follow")]
    HeadTooLong {
        /// What its length says (bytes).
        head: usize,
        /// What follows (bytes).
        rest: usize,
    },
    /// A field does not fit into the head.
    #[error("the head ends within its field `{field}`")]
    Truncated {
        /// Which field.
        field: &'static str,
    },
    /// A field is no text.
    #[error("`{field}` is not UTF-8")]
    NotUtf8 {
        /// Which field.
        field: &'static str,
    },
    /// A channel has at least one character.
    #[error("the channel is absent or empty")]
    NoChannel,
    /// The head has an extension twice.
    #[error("the head has its extension {key:#04x} twice")]
    Duplicate {
        /// Which extension.
        key: u8,
    },
    /// The data are no JSON, or nested too deep.
    #[error("the data are no JSON that can be read: {0}")]
    Json(String),
    /// A field is too long to be written.
    #[error(
        "`{field}` has {bytes} bytes, and an engine takes {} at most",
        super::MAX_FIELD_BYTES
    )]
    FieldTooLong {
        /// Which field.
        field: &'static str,
        /// Its length (bytes of UTF-8).
        bytes: usize,
    },
    /// No reader would take the data.
    #[error(
        "the data are nested deeper than {} levels, which no reader of JSON takes",
        super::MAX_DATA_DEPTH
    )]
    TooDeep,
}
