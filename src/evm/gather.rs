//! Requests of several callers in as few posts as nodes allow.

use alloc::vec::Vec;

/// How many callers, one after the other, share each post of at most `most` requests, when they want `sizes`. A caller's requests
/// stay together; one with more than `most` has its post, which is too large, to itself.
pub fn posts(sizes: impl IntoIterator<Item = usize>, most: usize) -> Vec<usize> {
    let mut posts = Vec::new();
    let (mut callers, mut requests) = (0_usize, 0_usize);
    for size in sizes {
        if callers > 0 && requests.saturating_add(size) > most {
            posts.push(callers);
            (callers, requests) = (0, 0);
        }
        callers = callers.saturating_add(1);
        requests = requests.saturating_add(size);
    }
    if callers > 0 {
        posts.push(callers);
    }
    posts
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn posts_are_filled_and_nobody_s_requests_are_torn_apart() {
        assert_eq!(posts([], 50), Vec::<usize>::new());
        assert_eq!(posts([5; 10], 50), vec![10]);
        assert_eq!(posts([5; 11], 50), vec![10, 1]);
        assert_eq!(posts([30, 30, 20, 1], 50), vec![1, 2, 1]);
        assert_eq!(posts([1, 120, 1], 50), vec![1, 1, 1]);
        assert_eq!(posts([60], 50), vec![1]);
        assert_eq!(posts([0, 0, 50, 0], 50), vec![4]);
    }
}
