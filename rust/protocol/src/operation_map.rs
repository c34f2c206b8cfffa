//! The operations of one connection by their ids. Most connections have one or a few.

use hashbrown::HashMap;

use crate::operation::OperationId;

/// Up to so many operations are searched one by one (count): that is as fast as a hash table, which
/// has room for three before it has one.
const FEW: usize = 8;

/// Values by the ids of operations. Its memory follows their number.
#[derive(Debug)]
pub struct OperationMap<V>(Entries<V>);

#[derive(Debug)]
enum Entries<V> {
    Few(Vec<(OperationId, V)>),
    Many(Box<HashMap<OperationId, V>>),
}

impl<V> Default for OperationMap<V> {
    fn default() -> Self {
        Self(Entries::Few(Vec::new()))
    }
}

impl<V> OperationMap<V> {
    /// Returns the number of operations.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Entries::Few(few) => few.len(),
            Entries::Many(many) => many.len(),
        }
    }

    /// Whether there are no operations.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether an id is in use.
    #[must_use]
    pub fn contains(&self, id: &OperationId) -> bool {
        match &self.0 {
            Entries::Few(few) => few.iter().any(|(known, _)| known == id),
            Entries::Many(many) => many.contains_key(id),
        }
    }

    /// Returns the value of an operation.
    pub fn get_mut(&mut self, id: &OperationId) -> Option<&mut V> {
        match &mut self.0 {
            Entries::Few(few) => {
                let mut few = few.iter_mut();
                few.find_map(|(known, value)| (known == id).then_some(value))
            }
            Entries::Many(many) => many.get_mut(id),
        }
    }

    /// Adds an operation. Returns the value that its id had before.
    pub fn insert(&mut self, id: OperationId, value: V) -> Option<V> {
        if let Some(known) = self.get_mut(&id) {
            return Some(std::mem::replace(known, value));
        }
        match &mut self.0 {
            Entries::Few(few) if few.len() < FEW => {
                if few.is_empty() {
                    few.reserve_exact(1);
                }
                few.push((id, value));
            }
            Entries::Few(few) => {
                let mut many: HashMap<_, _> = few.drain(..).collect();
                many.insert(id, value);
                self.0 = Entries::Many(Box::new(many));
            }
            Entries::Many(many) => {
                many.insert(id, value);
            }
        }
        None
    }

    /// Removes an operation and returns its value.
    pub fn remove(&mut self, id: &OperationId) -> Option<V> {
        let removed = match &mut self.0 {
            Entries::Few(few) => {
                let at = few.iter().position(|(known, _)| known == id)?;
                few.swap_remove(at).1
            }
            Entries::Many(many) => many.remove(id)?,
        };
        if self.is_empty() {
            *self = Self::default();
        }
        Some(removed)
    }

    /// Returns the values.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        let (few, many) = match &self.0 {
            Entries::Few(few) => (Some(few), None),
            Entries::Many(many) => (None, Some(many)),
        };
        let few = few.into_iter().flatten().map(|(_, value)| value);
        few.chain(many.into_iter().flat_map(|many| many.values()))
    }

    /// Removes and returns all operations.
    pub fn take_all(&mut self) -> Vec<(OperationId, V)> {
        match std::mem::take(self).0 {
            Entries::Few(few) => few,
            Entries::Many(many) => many.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> OperationId {
        number.to_string().as_str().into()
    }

    #[test]
    fn few_and_many_operations_are_found_by_their_ids() {
        for count in [0, 1, FEW, FEW + 1, 100] {
            let mut map = OperationMap::default();
            for number in 0..count {
                assert_eq!(map.insert(id(number), number), None);
            }
            assert_eq!((map.len(), map.is_empty()), (count, count == 0));
            assert_eq!(map.values().sum::<usize>(), (0..count).sum::<usize>());
            for number in 0..count {
                assert!(map.contains(&id(number)));
                assert_eq!(map.insert(id(number), number + 1), Some(number));
                assert_eq!(map.get_mut(&id(number)), Some(&mut (number + 1)));
            }
            assert!(!map.contains(&id(count)));
            assert_eq!(map.get_mut(&id(count)), None);
            assert_eq!(map.remove(&id(count)), None);
            for number in 0..count {
                assert_eq!(map.remove(&id(number)), Some(number + 1));
                assert_eq!(map.remove(&id(number)), None);
            }
            assert!(map.is_empty());
        }
    }

    #[test]
    fn all_are_taken_and_none_is_left() {
        for count in [0, 3, 50] {
            let mut map: OperationMap<usize> = OperationMap::default();
            for number in 0..count {
                map.insert(id(number), number);
            }
            let mut taken = map.take_all();
            taken.sort_unstable_by_key(|(_, number)| *number);
            assert!(taken.iter().all(|(taken, number)| *taken == id(*number)));
            assert_eq!(taken.len(), count);
            assert!(map.is_empty());
        }
    }
}
