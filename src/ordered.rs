//! Ordered collections, filled one by one. What is collected into a map or list is sorted first, and the sorting of each type is 3 KB
//! of wasm, for what is a handful.

use alloc::vec::Vec;
use litemap::LiteMap;

/// A map of these entries; of two with the same key the later one counts.
pub(crate) fn map<K: Ord, V>(entries: impl IntoIterator<Item = (K, V)>) -> LiteMap<K, V> {
    let mut map = LiteMap::new();
    for (key, value) in entries {
        map.insert(key, value);
    }
    map
}

/// A short list in the order of its keys; what has the same key stays in order. Its time grows with the square of its length.
pub(crate) fn list<T, K: Ord>(items: impl IntoIterator<Item = T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut list: Vec<T> = Vec::new();
    for item in items {
        let place = list.partition_point(|other| key(other) <= key(&item));
        list.insert(place, item);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_list_is_in_order_and_equals_stay_in_theirs() {
        let listed = list([(2, 'a'), (1, 'b'), (2, 'c'), (0, 'd'), (1, 'e')], |(key, _)| *key);
        assert_eq!(listed, [(0, 'd'), (1, 'b'), (1, 'e'), (2, 'a'), (2, 'c')]);
        assert!(list([], |key: &u8| *key).is_empty());
    }

    #[test]
    fn the_later_of_two_entries_counts() {
        assert_eq!(map([(1, 'a'), (0, 'b'), (1, 'c')]).into_tuple_vec(), [(0, 'b'), (1, 'c')]);
    }
}
