//! A bounded cache of two generations: what was used since the last turn survives the next one.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Remembers at most twice `half` entries, the least recently used going first, by halves.
pub struct Cache<K, V> {
    half: usize,
    generations: Mutex<Generations<K, V>>,
}

struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    /// A cache whose generations hold so many each.
    #[must_use]
    pub fn new(half: usize) -> Cache<K, V> {
        let generations = Generations { young: HashMap::new(), old: HashMap::new() };
        Cache { half: half.max(1), generations: Mutex::new(generations) }
    }

    /// What is held under a key.
    pub fn get(&self, key: &K) -> Option<V> {
        let mut generations = self.lock();
        if let Some(value) = generations.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = generations.old.remove_entry(key)?;
        generations.insert(self.half, key, value.clone());
        Some(value)
    }

    /// Holds a value, in place of the one before.
    pub fn insert(&self, key: K, value: V) {
        let mut generations = self.lock();
        generations.old.remove(&key);
        generations.insert(self.half, key, value);
    }

    /// Inserts unless something is held that the new value does not replace.
    pub fn insert_if(&self, key: K, value: V, replaces: impl Fn(&V, &V) -> bool) {
        let mut generations = self.lock();
        let held = generations.young.get(&key).or_else(|| generations.old.get(&key));
        if held.is_none_or(|held| replaces(held, &value)) {
            generations.old.remove(&key);
            generations.insert(self.half, key, value);
        }
    }

    /// Drops a value.
    pub fn remove(&self, key: &K) {
        let mut generations = self.lock();
        generations.young.remove(key);
        generations.old.remove(key);
    }

    /// Keeps only what the predicate accepts.
    pub fn retain(&self, keep: impl Fn(&K, &V) -> bool) {
        let mut generations = self.lock();
        generations.young.retain(|key, value| keep(key, value));
        generations.old.retain(|key, value| keep(key, value));
    }

    /// A thread that panicked while it held the lock left a map that is still a map.
    fn lock(&self) -> MutexGuard<'_, Generations<K, V>> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq, V> Generations<K, V> {
    fn insert(&mut self, half: usize, key: K, value: V) {
        if self.young.len() >= half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_size_is_bounded() {
        let cache = Cache::new(4);
        for key in 0..100 {
            cache.insert(key, key);
            assert_eq!(cache.get(&0), Some(0), "used all the time");
        }
        let held = (0..100).filter(|key| cache.get(key).is_some()).count();
        assert!(held <= 8, "{held} entries are held");
        assert_eq!(cache.get(&50), None);
    }

    #[test]
    fn what_is_removed_is_gone() {
        let cache = Cache::new(1);
        cache.insert("a", 1);
        cache.insert("b", 2);
        cache.remove(&"a");
        cache.retain(|_, value| *value != 2);
        assert_eq!((cache.get(&"a"), cache.get(&"b")), (None, None));
    }
}
