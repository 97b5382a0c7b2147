//! Which known word was probably meant.

/// The word of `known` that `written` is a slip of, if one is near enough.
pub(crate) fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let written = plain(written);
    let allowed = written.len().div_ceil(4).clamp(1, 3);
    known
        .into_iter()
        .filter_map(|word| {
            let plain = plain(word);
            let begun = written.len() >= 3 && plain.starts_with(&written);
            let distance =
                if plain.len().abs_diff(written.len()) > allowed { usize::MAX } else { distance(&written, &plain) };
            (distance <= allowed || begun).then_some((distance, word))
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, word)| word)
}

/// A word as it is compared: capitals and the kind of dash make no difference.
fn plain(word: &str) -> Vec<char> {
    word.chars().flat_map(char::to_lowercase).map(|c| if c == '_' { '-' } else { c }).collect()
}

/// How many letters must be added, removed, replaced or swapped with their neighbour.
fn distance(one: &[char], other: &[char]) -> usize {
    let mut before = Vec::new();
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for (i, &a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &b) in other.iter().enumerate() {
            let swapped = i > 0 && j > 0 && a == other[j - 1] && one[i - 1] == b;
            let mut best = (above[j] + usize::from(a != b)).min(above[j + 1] + 1).min(row[j] + 1);
            if swapped {
                let before: &Vec<usize> = &before;
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[other.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_of_the_pen_find_their_word() {
        let known = ["machines", "profiles", "trust_level", "subnet_id", "internet"];
        for (written, meant) in [
            ("machine", Some("machines")),
            ("mahcines", Some("machines")),
            ("trust-level", Some("trust_level")),
            ("trustlevel", Some("trust_level")),
            ("Subnet_ID", Some("subnet_id")),
            ("interent", Some("internet")),
            ("stop", None),
            ("inter", Some("internet")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, known), meant, "{written}");
        }
    }
}
