//! Puts actions in an order in which they can be run.

use std::collections::BTreeSet;

use crate::plan::Action;

/// Sorts so that everything comes after what it needs; what needs nothing of one another keeps its place.
/// Each comes with what has to be done before it, by place in the list.
pub(super) fn sorted(nodes: Vec<(Action, BTreeSet<usize>)>) -> Vec<Action> {
    let count = nodes.len();
    let mut place: Vec<Option<usize>> = vec![None; count];
    let mut order = Vec::with_capacity(count);
    // Rounds over the list: kinds are planned in the order of their needs, so that nearly always one is enough.
    while order.len() < count {
        let settled = order.len();
        for (index, (_, before)) in nodes.iter().enumerate() {
            if place[index].is_none() && before.iter().all(|before| place[*before].is_some()) {
                place[index] = Some(order.len());
                order.push(index);
            }
        }
        if order.len() == settled {
            // A circle cannot come from real kinds; should one do, the plan still runs, in the order as planned.
            let stuck = place.iter().position(Option::is_none).expect("something is left");
            place[stuck] = Some(order.len());
            order.push(stuck);
        }
    }
    let mut nodes: Vec<Option<_>> = nodes.into_iter().map(Some).collect();
    let taken = order.iter().enumerate().map(|(at, index)| {
        let (action, before) = nodes[*index].take().expect("each place is taken once");
        let after = before.iter().filter_map(|before| place[*before]).filter(|before| *before < at);
        let mut after: Vec<usize> = after.collect();
        after.sort_unstable();
        Action { after, ..action }
    });
    taken.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Id, Kind, Verb};

    fn node(name: &str, before: &[usize]) -> (Action, BTreeSet<usize>) {
        let action = Action::bare(Id::global(Kind::Project, name), Verb::Create, Vec::new());
        (action, before.iter().copied().collect())
    }

    fn names(actions: &[Action]) -> Vec<&str> {
        actions.iter().map(|action| action.id.name.as_str()).collect()
    }

    #[test]
    fn everything_comes_after_what_it_needs() {
        let actions = sorted(vec![node("a", &[2]), node("b", &[]), node("c", &[1])]);
        assert_eq!(names(&actions), ["b", "c", "a"]);
        assert_eq!(actions[2].after, [1]);
        assert!(actions.iter().enumerate().all(|(at, action)| action.after.iter().all(|before| *before < at)));
    }

    #[test]
    fn a_circle_still_ends() {
        assert_eq!(sorted(vec![node("a", &[1]), node("b", &[0])]).len(), 2);
    }
}
