//! Breadth first through everything that can happen.

use std::collections::{HashSet, VecDeque};
use std::fmt::Debug;

/// What can be searched.
pub(super) trait Model: Clone {
    type Action: Copy + Debug;

    fn actions(&self) -> Vec<Self::Action>;

    /// The next state, or the rule that was broken.
    fn act(&mut self, action: Self::Action) -> Result<(), String>;

    /// What must hold once per state, in addition.
    fn check(&self) -> Result<(), String>;

    /// States that go on alike are the same.
    fn fingerprint(&self) -> u64;
}

/// How far it went.
#[derive(Debug)]
pub(super) struct Explored {
    pub(super) states: usize,
    pub(super) steps: usize,
    /// Steps from the first state to the farthest.
    pub(super) depth: usize,
    /// Not everything was seen, since there were too many states.
    pub(super) cut: bool,
}

struct Node<A> {
    parent: usize,
    action: Option<A>,
}

fn path<A: Copy>(nodes: &[Node<A>], mut index: usize) -> Vec<A> {
    let mut path = Vec::new();
    while let Some(action) = nodes[index].action {
        path.push(action);
        index = nodes[index].parent;
    }
    path.reverse();
    path
}

/// All states that can be reached, unless there are more than `most`.
pub(super) fn explore<M: Model>(first: M, most: usize) -> Result<Explored, String> {
    let mut seen = HashSet::from([first.fingerprint()]);
    let mut nodes = vec![Node { parent: 0, action: None }];
    let mut queue = VecDeque::from([(0, 0, first)]);
    let mut explored = Explored { states: 1, steps: 0, depth: 0, cut: false };
    while let Some((index, depth, state)) = queue.pop_front() {
        explored.depth = depth;
        let broken = |nodes: &[Node<M::Action>], last: Option<M::Action>, rule: String| {
            let steps: Vec<String> = path(nodes, index).into_iter().chain(last).map(|action| format!("{action:?}")).collect();
            format!("{rule}\nafter {}", steps.join(", "))
        };
        state.check().map_err(|rule| broken(&nodes, None, rule))?;
        for action in state.actions() {
            let mut next = state.clone();
            next.act(action).map_err(|rule| broken(&nodes, Some(action), rule))?;
            explored.steps += 1;
            if !seen.insert(next.fingerprint()) {
                continue;
            }
            if explored.states >= most {
                explored.cut = true;
                continue;
            }
            explored.states += 1;
            nodes.push(Node { parent: index, action: Some(action) });
            queue.push_back((nodes.len() - 1, depth + 1, next));
        }
    }
    Ok(explored)
}
