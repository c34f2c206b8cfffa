//! Positions: where an event is in its stream.
//!
//! A [`Position`] means the same in every process that uses the same engine. Ids of results are
//! positions. Not here: how a position is assigned (`stream`).

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Identifies the numbering that an offset belongs to. Epochs can be compared for equality, but
/// have no order. Displayed as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Epoch(pub u64);

/// Orders the events of one stream and epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset {
    /// Counted by the engine: the events of the stream, or the records of a log that holds several
    /// streams.
    pub major: u64,
    /// Orders events with the same `major`, such as those of one transaction; else 0.
    pub minor: u32,
}

/// Where an event is in its stream, on every node. Displayed as `<epoch>-<major>`, and as
/// `<epoch>-<major>.<minor>` when `minor` is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Position {
    /// The numbering that the offset belongs to.
    pub epoch: Epoch,
    /// The place of the event in that numbering.
    pub offset: Offset,
}

/// A position, and its place in the order in which this process has received the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LocalPosition {
    /// Counts the events and gaps that this process has received of the stream. Never decreases,
    /// not even when the epoch changes.
    pub sequence: u64,
    /// The position that clients see as an id.
    pub position: Position,
    /// When this process received the event.
    pub received: Received,
}

/// When this process received an event: nanoseconds of its own clock. For metrics: it is no part of what
/// a position is, so all are equal.
#[derive(Debug, Clone, Copy, Default)]
pub struct Received(Option<NonZeroU64>);

impl Received {
    /// An event that is received now.
    #[must_use]
    pub fn now() -> Self {
        Self(NonZeroU64::new(clock()))
    }

    /// Whether both are one known moment.
    #[must_use]
    pub fn is_moment_of(self, other: Self) -> bool {
        self.0.is_some() && self.0 == other.0
    }

    /// How long ago that was; `None`: it is not known, or was before `begin`.
    #[must_use]
    pub fn since(self, begin: Self) -> Option<Duration> {
        self.filter(|at| Some(at) >= begin.0)
    }

    /// How long ago that was; `None`: it is not known.
    #[must_use]
    pub fn elapsed(self) -> Option<Duration> {
        self.filter(|_| true)
    }

    fn filter(self, is_meant: impl FnOnce(NonZeroU64) -> bool) -> Option<Duration> {
        let at = self.0.filter(|at| is_meant(*at))?;
        Some(Duration::from_nanos(clock().saturating_sub(at.get())))
    }
}

/// Nanoseconds since the first call.
fn clock() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let running = START.get_or_init(Instant::now).elapsed();
    // Not 0, which is no time of an event.
    u64::try_from(running.as_nanos()).unwrap_or(u64::MAX).max(1)
}

impl PartialEq for Received {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Received {}

/// A text is not a valid position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a position: expected <epoch>-<offset>")]
pub struct InvalidPosition;

impl Offset {
    /// Creates the offset of an event in a stream whose events are counted one by one.
    #[must_use]
    pub const fn new(major: u64) -> Self {
        Self { major, minor: 0 }
    }

    /// Returns the next offset in a stream whose events are counted one by one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self::new(self.major.saturating_add(1))
    }
}

impl Position {
    /// Stands for the position of an event that was published, where the engine does not say it.
    pub const UNKNOWN: Self = Self {
        epoch: Epoch(0),
        offset: Offset::new(0),
    };

    /// Creates a position in a stream whose events are counted one by one.
    #[must_use]
    pub const fn new(epoch: Epoch, major: u64) -> Self {
        let offset = Offset::new(major);
        Self { epoch, offset }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.major)?;
        if self.minor > 0 {
            write!(f, ".{}", self.minor)?;
        }
        Ok(())
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.offset)
    }
}

impl FromStr for Epoch {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 16 || !text.bytes().all(is_digit) {
            return Err(InvalidPosition);
        }
        let epoch = u64::from_str_radix(text, 16).map_err(|_| InvalidPosition)?;
        Ok(Self(epoch))
    }
}

impl FromStr for Offset {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        let offset = Self {
            major: major.parse().map_err(|_| InvalidPosition)?,
            minor: minor.parse().map_err(|_| InvalidPosition)?,
        };
        // An offset has one spelling only: without a sign and without leading zeros.
        if offset.to_string() == text {
            Ok(offset)
        } else {
            Err(InvalidPosition)
        }
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;

    /// Parses the text that [`Position`] displays, and accepts no other spelling.
    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (epoch, offset) = text.split_once('-').ok_or(InvalidPosition)?;
        Ok(Self {
            epoch: epoch.parse()?,
            offset: offset.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_position_is_read_from_what_it_shows(epoch: u64, major: u64, minor: u32) {
            let position = Position { epoch: Epoch(epoch), offset: Offset { major, minor } };
            prop_assert_eq!(position.to_string().parse(), Ok(position));
        }

        #[test]
        fn a_text_that_is_read_is_the_only_spelling(text in "[0-9a-fA-F.+-]{0,30}") {
            if let Ok(position) = text.parse::<Position>() {
                prop_assert_eq!(position.to_string(), text);
            }
        }
    }

    #[test]
    fn a_text_that_is_not_a_position_is_refused() {
        let epoch = Epoch(255).to_string();
        assert_eq!(epoch, "00000000000000ff");
        for text in [
            String::new(),
            epoch.clone(),
            format!("{epoch}-"),
            format!("{epoch}-+1"),
            format!("{epoch}-01"),
            format!("{epoch}--1"),
            format!("{epoch}-1.0"),
            format!("{epoch}-1."),
            format!("{epoch}-99999999999999999999"),
            format!("{}-1", epoch.to_uppercase()),
            "ff-1".to_owned(),
            "-1".to_owned(),
        ] {
            assert_eq!(text.parse::<Position>(), Err(InvalidPosition), "{text}");
        }
    }
}
