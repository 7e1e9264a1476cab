//! Which route has which path and which name. Made so that a copy with one change is cheap.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

use super::routes::Route;
use crate::event::Name;

/// The routes by path and by name.
#[derive(Clone, Default)]
pub(super) struct Tables {
    pub(super) paths: Sharded<Arc<str>>,
    pub(super) names: Sharded<Name>,
}

/// A map whose copy costs its shards, and a change of the copy one shard: with 100,000 routes some 400 entries.
pub(super) struct Sharded<K> {
    hasher: RandomState,
    shards: Box<[Shard<K>]>,
}

type Shard<K> = Arc<HashMap<K, Arc<Route>>>;

const SHARDS: usize = 256;

impl<K> Clone for Sharded<K> {
    fn clone(&self) -> Self {
        Self {
            hasher: self.hasher.clone(),
            shards: self.shards.clone(),
        }
    }
}

impl<K> Default for Sharded<K> {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Arc::new(HashMap::new())).collect(),
        }
    }
}

impl<K: Hash + Eq + Clone> Sharded<K> {
    fn place<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).expect("less than the number of shards")
    }

    pub(super) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&Arc<Route>>
    where
        K: Borrow<Q>,
    {
        self.shards[self.place(key)].get(key)
    }

    pub(super) fn insert(&mut self, key: K, route: Arc<Route>) {
        let place = self.place(&key);
        Arc::make_mut(&mut self.shards[place]).insert(key, route);
    }

    pub(super) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<Arc<Route>>
    where
        K: Borrow<Q>,
    {
        let place = self.place(key);
        if !self.shards[place].contains_key(key) {
            return None; // an absent key must not cost a copy
        }
        Arc::make_mut(&mut self.shards[place]).remove(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbound::fake::{Stage, inbound};

    #[test]
    fn a_change_of_a_copy_copies_one_shard() {
        let stage = Stage::new();
        let route = |name: &str| {
            stage.put(inbound(name, "token"));
            stage.routes.route_at(&format!("/webhook/{name}")).unwrap()
        };
        let (one, other) = (route("one"), route("other"));
        let mut before = Sharded::<Arc<str>>::default();
        for i in 0..2000 {
            before.insert(format!("/{i}").into(), Arc::clone(&one));
        }
        let mut after = before.clone();
        after.insert("/7".into(), Arc::clone(&other));
        assert!(after.remove("absent").is_none());
        let pairs = before.shards.iter().zip(&after.shards);
        assert_eq!(pairs.filter(|(a, b)| !Arc::ptr_eq(a, b)).count(), 1);
        assert_eq!(
            before.get("/7").unwrap().name.as_str(),
            "one",
            "an old look stays whole"
        );
        assert_eq!(after.get("/7").unwrap().name.as_str(), "other");
        assert_eq!(after.get("/8").unwrap().name.as_str(), "one");
    }
}
