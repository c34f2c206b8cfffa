//! The documents that are kept, and which of them leave.
//!
//! A document that was asked for once is a newcomer. Asked for again, it becomes established, for
//! which three quarters of the space are reserved: so documents that are sent once push out only
//! each other. When that space is full, a newcomer replaces the least recently used established
//! document, unless that one was asked for more often. Uses count half after many uses of the whole
//! cache, and a newcomer that loses takes none: so a client that sends each of its documents twice or
//! ten times does not push out those of others, however many it sends.

use std::num::NonZeroUsize;
use std::sync::Arc;

use hashbrown::HashMap;
use lru::LruCache;

use super::Document;

/// Memory of all kept documents (bytes). Past it documents are dropped. Plans have a separate bound.
pub(super) const MAX_TOTAL_BYTES: usize = 32 * 1024 * 1024;

/// A document larger than [`MAX_TOTAL_BYTES`] divided by this is not kept, but parsed for each request.
const LARGEST_PART: usize = 16;

/// Memory of a kept document beside the document: its places in the part and in `by_sha256`, with the
/// hash (bytes).
const PLACE_BYTES: usize = 256;

/// After so many uses for each document that has space, the uses of all documents count half.
const USES_UNTIL_HALF: usize = 16;

#[derive(Debug)]
pub(super) struct Documents {
    newcomers: Part,
    established: Part,
    /// Uses of all documents (count).
    uses: usize,
    /// Texts by the SHA-256 that clients send; each text is also in a part.
    by_sha256: HashMap<Box<str>, Arc<str>>,
    capacity: usize,
}

/// Documents by text, the least recently used last.
#[derive(Debug)]
struct Part {
    by_text: LruCache<Arc<str>, Kept>,
    /// Memory of the documents.
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    document: Arc<Document>,
    /// Its memory.
    bytes: usize,
    /// Its key in `by_sha256`, if a client has sent it.
    sha256: Option<Box<str>>,
    /// How often it was asked for again (count); half of it for each age since.
    uses: u32,
    /// The age of the cache at the last use.
    age: usize,
}

impl Kept {
    fn uses_at(&self, age: usize) -> u32 {
        let halved = u32::try_from(age - self.age).ok();
        halved.and_then(|by| self.uses.checked_shr(by)).unwrap_or(0)
    }

    fn used_at(&mut self, age: usize) {
        self.uses = self.uses_at(age).saturating_add(1);
        self.age = age;
    }
}

impl Part {
    fn new() -> Self {
        Self {
            by_text: LruCache::unbounded(),
            bytes: 0,
        }
    }

    fn put(&mut self, text: Arc<str>, kept: Kept) -> Option<Kept> {
        self.bytes += kept.bytes;
        let (_, replaced) = self.by_text.push(text, kept)?;
        self.bytes -= replaced.bytes;
        Some(replaced)
    }

    fn pop_oldest(&mut self) -> Option<(Arc<str>, Kept)> {
        let (text, kept) = self.by_text.pop_lru()?;
        self.bytes -= kept.bytes;
        Some((text, kept))
    }
}

impl Documents {
    pub(super) fn new(capacity: NonZeroUsize) -> Self {
        Self {
            newcomers: Part::new(),
            established: Part::new(),
            uses: 0,
            by_sha256: HashMap::new(),
            capacity: capacity.get(),
        }
    }

    /// Returns the number of documents.
    pub(super) fn len(&self) -> usize {
        self.newcomers.by_text.len() + self.established.by_text.len()
    }

    /// Returns a kept document, and counts the use.
    pub(super) fn get(&mut self, text: &str) -> Option<Arc<Document>> {
        let age = self.age();
        if let Some(kept) = self.established.by_text.get_mut(text) {
            kept.used_at(age);
            self.uses += 1;
            return Some(kept.document.clone());
        }
        let kept = self.newcomers.by_text.get_mut(text)?;
        kept.used_at(age);
        self.uses += 1;
        let (document, bytes, uses) = (kept.document.clone(), kept.bytes, kept.uses);
        if self.makes_room(bytes, uses)
            && let Some((text, kept)) = self.newcomers.by_text.pop_entry(text)
        {
            self.newcomers.bytes -= kept.bytes;
            self.established.put(text, kept);
        }
        Some(document)
    }

    /// Keeps a document that was asked for once. `bytes`: its memory.
    pub(super) fn put(&mut self, text: Arc<str>, document: Arc<Document>, bytes: usize) {
        let bytes = bytes + PLACE_BYTES;
        if bytes > MAX_TOTAL_BYTES / LARGEST_PART || self.established.by_text.contains(&text) {
            // It is not kept, or another thread has parsed it, too.
            return;
        }
        let kept = Kept {
            document,
            bytes,
            sha256: None,
            uses: 0,
            age: self.age(),
        };
        if let Some(replaced) = self.newcomers.put(text, kept) {
            self.forget(&replaced);
        }
        while (self.len() > self.capacity || self.bytes() > MAX_TOTAL_BYTES)
            && let Some((_, oldest)) = self.newcomers.pop_oldest()
        {
            self.forget(&oldest);
        }
    }

    /// Adds the hash of a kept document.
    pub(super) fn name(&mut self, text: &str, hash: String) {
        // The document may have been dropped since.
        for part in [&mut self.newcomers, &mut self.established] {
            let Some(key) = part.by_text.get_key_value(text).map(|(key, _)| key.clone()) else {
                continue;
            };
            let hash = hash.clone().into_boxed_str();
            if let Some(kept) = part.by_text.get_mut(text) {
                kept.sha256 = Some(hash.clone());
                self.by_sha256.insert(hash, key);
            }
        }
    }

    /// Returns the text with this hash.
    pub(super) fn named(&self, hash: &str) -> Option<Arc<str>> {
        self.by_sha256.get(hash).cloned()
    }

    fn bytes(&self) -> usize {
        self.newcomers.bytes + self.established.bytes
    }

    /// How often uses were halved (count).
    fn age(&self) -> usize {
        self.uses / USES_UNTIL_HALF.saturating_mul(self.capacity)
    }

    /// Whether there is, or now is, room for an established document. If not, all stay.
    fn makes_room(&mut self, bytes: usize, uses: u32) -> bool {
        let age = self.age();
        let most = self.capacity - self.capacity.div_ceil(4);
        let (mut left, mut left_bytes) = (self.established.by_text.len(), self.established.bytes);
        let mut leaving = 0;
        let mut oldest = self.established.by_text.iter().rev();
        while left + 1 > most || left_bytes + bytes > MAX_TOTAL_BYTES / 4 * 3 {
            let Some((text, kept)) = oldest.next() else {
                return false;
            };
            if kept.uses_at(age) > uses {
                // The next newcomer is compared with another one.
                let text = text.clone();
                self.established.by_text.promote(&text);
                return false;
            }
            left -= 1;
            left_bytes -= kept.bytes;
            leaving += 1;
        }
        for _ in 0..leaving {
            if let Some((text, mut kept)) = self.established.pop_oldest() {
                kept.uses = 0;
                self.newcomers.put(text, kept);
            }
        }
        true
    }

    fn forget(&mut self, kept: &Kept) {
        if let Some(hash) = &kept.sha256 {
            self.by_sha256.remove(hash);
        }
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        let documents = |part: &Part| {
            part.by_text
                .iter()
                .map(|(_, kept)| kept.bytes)
                .sum::<usize>()
        };
        let counted = documents(&self.newcomers) + documents(&self.established);
        (counted, self.bytes(), self.by_sha256.len())
    }
}
