//! Cache of compiled operations, bounded in bytes for all documents together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use apollo_compiler::Name;
use lru::LruCache;
use parking_lot::Mutex;

use crate::plan::Plan;

/// Size of all kept plans (bytes, estimated). Past it the least recently used are dropped.
pub(crate) const MAX_BYTES: usize = 32 * 1024 * 1024;

/// Plans that are kept (count).
const MAX_PLANS: usize = 8 * 1024;

/// A plan larger than [`MAX_BYTES`] divided by this is not kept, but compiled for each operation.
const LARGEST_PART: usize = 16;

/// Identifies a document in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DocumentId(u64);

impl DocumentId {
    pub(crate) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Relaxed))
    }
}

/// One operation of a document, and the values of the variables that its `@skip` and `@include`
/// depend on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PlanKey {
    pub(crate) document: DocumentId,
    pub(crate) operation: Option<Name>,
    pub(crate) conditions: Vec<Option<bool>>,
}

/// Plans by their operations; safe to share between threads.
#[derive(Debug)]
pub(crate) struct PlanCache(Mutex<KeptPlans>);

#[derive(Debug)]
struct KeptPlans {
    plans: LruCache<PlanKey, Arc<Plan>>,
    bytes: usize,
}

impl Default for PlanCache {
    fn default() -> Self {
        Self(Mutex::new(KeptPlans {
            // With a capacity it would reserve memory for as many plans, for each document that is parsed.
            plans: LruCache::unbounded(),
            bytes: 0,
        }))
    }
}

impl PlanCache {
    pub(crate) fn get(&self, key: &PlanKey) -> Option<Arc<Plan>> {
        self.0.lock().plans.get(key).cloned()
    }

    pub(crate) fn put(&self, key: PlanKey, plan: Arc<Plan>) {
        if plan.bytes() > MAX_BYTES / LARGEST_PART {
            return;
        }
        let kept = &mut *self.0.lock();
        kept.bytes += plan.bytes();
        let replaced = kept.plans.push(key, plan);
        kept.bytes -= replaced.map_or(0, |(_, plan)| plan.bytes());
        while (kept.bytes > MAX_BYTES || kept.plans.len() > MAX_PLANS)
            && let Some((_, oldest)) = kept.plans.pop_lru()
        {
            kept.bytes -= oldest.bytes();
        }
    }

    #[cfg(test)]
    pub(crate) fn size(&self) -> (usize, usize) {
        let kept = self.0.lock();
        (kept.plans.len(), kept.bytes)
    }
}
