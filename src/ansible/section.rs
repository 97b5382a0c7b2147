//! The part of a file that anklume writes, between two marks. Everything around it is somebody's own, and stays byte for
//! byte.

use std::ops::Range;

use sha2::{Digest, Sha256};

/// The first line.
pub(crate) const BEGIN: &str = "# === MANAGED BY infra.yml ===";
/// The last line.
pub(crate) const END: &str = "# === END MANAGED ===";
/// How the second line begins; its end is the digest of the lines below it, by which a change by hand is noticed.
const NOTE: &str = "# `anklume sync` writes these lines; change infra.yml instead. Digest: ";
/// What stands below it in a file that was not there.
const INVITATION: &str = "# Write your own variables here: anklume keeps them.\n";

/// The section of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    /// Where it stands, from its first mark to the end of its last one; the end of that line is not in it.
    place: Range<usize>,
    /// Its lines without the marks and the digest, each with a plain line end.
    pub(crate) body: String,
    /// They are as they were written.
    pub(crate) untouched: bool,
    /// There is a digest to say so; an earlier anklume wrote none.
    pub(crate) has_digest: bool,
}

/// Finds the section. Where several look like one, it is the first whose digest is right, else the first that has one.
pub(crate) fn find(file: &[u8]) -> Option<Section> {
    let mut sections = candidates(file);
    let best = |section: &Section| match (section.untouched, section.has_digest) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => 2,
    };
    // Of equals the first: sorting keeps their order.
    sections.sort_by_key(best);
    sections.into_iter().next()
}

/// The file with this in its section. A file without one gets it on top, where the document begins.
pub(crate) fn put(file: &[u8], body: &str) -> Vec<u8> {
    if let Some(section) = find(file) {
        let ending = ending_of(&file[section.place.start..]);
        return spliced(file, section.place, &written(body, ending));
    }
    let (at, ending) = (top(file), ending_of(file));
    let is_new_line = at == 0 || file[..at].ends_with(b"\n") || file[..at] == *BOM;
    let before = if is_new_line { "" } else { ending };
    let new = format!("{before}{}{ending}", written(body, ending));
    spliced(file, at..at, &new)
}

/// A file of its own, with a line for its owner.
pub(crate) fn new_file(body: &str) -> Vec<u8> {
    format!("{}\n\n{INVITATION}", written(body, "\n")).into_bytes()
}

/// The file without its section; nothing where it has none.
pub(crate) fn taken_out(file: &[u8]) -> Option<Vec<u8>> {
    let Range { start, end } = find(file)?.place;
    let line_end = [b"\r\n".as_slice(), b"\n"].into_iter().find(|line_end| file[end..].starts_with(line_end));
    Some(spliced(file, start..end + line_end.map_or(0, <[u8]>::len), ""))
}

/// Is there nothing of its owner's in it, beside the section?
pub(crate) fn is_all_ours(file: &[u8]) -> bool {
    let rest = taken_out(file).unwrap_or_else(|| file.to_vec());
    let rest = rest.strip_prefix(BOM).unwrap_or(&rest);
    rest.split(|byte| *byte == b'\n').all(|line| {
        let line = line.trim_ascii();
        line.is_empty() || line == b"---" || line == INVITATION.trim_end().as_bytes()
    })
}

/// The keys that both the section and its owner write: a reader takes the last one, or none.
pub(crate) fn written_twice(file: &[u8]) -> Vec<String> {
    let Some(section) = find(file) else { return Vec::new() };
    let rest = taken_out(file).unwrap_or_default();
    let ours: Vec<String> = section.body.lines().filter_map(|line| key(line.as_bytes())).collect();
    let mut both: Vec<String> = rest.split(|byte| *byte == b'\n').filter_map(key).collect();
    both.retain(|key| ours.contains(key));
    both.dedup();
    both
}

/// The key of a line that begins an entry of the document.
fn key(line: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(line);
    let (key, rest) = text.split_once(':')?;
    let key = key.trim_end();
    let bare = ['"', '\''].iter().find_map(|quote| key.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(key);
    let is_name = !bare.is_empty() && bare.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    (is_name && (rest.is_empty() || rest.starts_with([' ', '\t', '\r']))).then(|| bare.to_owned())
}

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Everything between a first mark and the next last one, with no other first mark between them.
fn candidates(file: &[u8]) -> Vec<Section> {
    let mut found = Vec::new();
    let mut begun: Option<(usize, usize)> = None;
    let mut at = 0;
    for line in file.split_inclusive(|byte| *byte == b'\n') {
        let next = at + line.len();
        let words = line.trim_ascii_end();
        if words == BEGIN.as_bytes() {
            begun = Some((at, next));
        } else if words == END.as_bytes()
            && let Some((start, inside)) = begun.take()
        {
            found.push(section(start..at + END.len(), &file[inside..at]));
        }
        at = next;
    }
    found
}

fn section(place: Range<usize>, inside: &[u8]) -> Section {
    let text = String::from_utf8_lossy(inside).replace("\r\n", "\n");
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    match first.strip_prefix(NOTE) {
        Some(told) => {
            let untouched = told.trim_end() == digest(rest);
            Section { place, body: rest.to_owned(), untouched, has_digest: true }
        }
        None => Section { place, body: text, untouched: false, has_digest: false },
    }
}

/// The section as it stands in a file, without the end of its last line.
fn written(body: &str, ending: &str) -> String {
    let text = format!("{BEGIN}\n{NOTE}{}\n{body}{END}", digest(body));
    if ending == "\n" { text } else { text.replace('\n', ending) }
}

fn digest(body: &str) -> String {
    let sum = format!("{:x}", Sha256::digest(body.as_bytes()));
    sum[..16].to_owned()
}

/// How the first line ends.
fn ending_of(file: &[u8]) -> &'static str {
    let line = file.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.ends_with(b"\r\n") { "\r\n" } else { "\n" }
}

/// Where the document begins: below `---`, if that is the first thing in the file.
fn top(file: &[u8]) -> usize {
    let start = if file.starts_with(BOM) { BOM.len() } else { 0 };
    let mut at = start;
    for line in file[start..].split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        let words = line.trim_ascii();
        let rest = line.strip_prefix(b"---").map(<[u8]>::trim_ascii);
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"#")) {
            return at;
        }
        if !words.is_empty() && !words.starts_with(b"#") && !words.starts_with(b"%") {
            break;
        }
    }
    start
}

fn spliced(file: &[u8], place: Range<usize>, new: &str) -> Vec<u8> {
    [&file[..place.start], new.as_bytes(), &file[place.end..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn a_file_without_marks_gets_the_section_where_its_document_begins() {
        for (before, rest) in [
            ("", "mine: 1\n"),
            ("---\n", "mine: 1\n"),
            ("# A licence\n\n--- # now\n", "mine: 1\n"),
            ("\u{feff}", "# A remark\nmine: 1"),
            ("\u{feff}---\r\n", "mine: 1\r\n"),
            ("%YAML 1.1\n---\n", "mine: 1\n"),
        ] {
            let put = put(format!("{before}{rest}").as_bytes(), "a: 1\n");
            let put = text(&put);
            assert!(put.starts_with(&format!("{before}{BEGIN}")), "{put}");
            assert!(
                put.ends_with(&format!("{END}{}{rest}", if before.contains('\r') { "\r\n" } else { "\n" })),
                "{put}"
            );
            assert_eq!(
                put.matches('\n').count(),
                put.matches("\r\n").count() + put.replace("\r\n", "").matches('\n').count()
            );
        }
    }

    #[test]
    fn a_change_by_hand_is_noticed_and_a_change_of_line_ends_is_none() {
        let file = text(&put(b"mine: 1\n", "a: 1\nb: 2\n"));
        assert!(find(file.as_bytes()).unwrap().untouched);
        let dos = file.replace('\n', "\r\n");
        let section = find(dos.as_bytes()).unwrap();
        assert!(section.untouched);
        assert_eq!(section.body, "a: 1\nb: 2\n");
        assert_eq!(text(&put(dos.as_bytes(), "a: 1\nb: 2\n")), dos);
        assert!(!find(file.replace("b: 2", "b: 3").as_bytes()).unwrap().untouched);
        assert!(!find(file.replace("Digest: ", "Digest: 0").as_bytes()).unwrap().untouched);
    }

    #[test]
    fn the_section_of_an_earlier_anklume_is_found_though_it_has_no_digest() {
        let file = format!("top: 1\n{BEGIN}\na: 1\n{END}\nmine: 1\n");
        let section = find(file.as_bytes()).unwrap();
        assert_eq!((section.body.as_str(), section.untouched, section.has_digest), ("a: 1\n", false, false));
        let put = text(&put(file.as_bytes(), "a: 2\n"));
        assert!(put.starts_with("top: 1\n# ===") && put.ends_with("\nmine: 1\n") && put.contains("a: 2\n"), "{put}");
    }

    #[test]
    fn what_only_looks_like_marks_is_somebodys_text() {
        let odd = format!("{BEGIN}\nunfinished: 1\n  {END}\n{BEGIN} \n# not {END}\n{END}x\n");
        assert_eq!(find(odd.as_bytes()), None);
        let file = put(odd.as_bytes(), "a: 1\n");
        let again = put(&file, "a: 2\n");
        assert!(text(&again).ends_with(&odd));
        assert_eq!(taken_out(&again).unwrap(), odd.as_bytes());
    }

    #[test]
    fn a_new_file_has_nothing_of_anybodys_until_somebody_writes_in_it() {
        let file = new_file("a: 1\n");
        assert!(is_all_ours(&file));
        for mine in ["mine: 1\n", "# A remark\n"] {
            assert!(!is_all_ours(&[&file[..], mine.as_bytes()].concat()));
        }
    }

    #[test]
    fn keys_that_are_written_twice_are_found() {
        let own =
            "mine: 1\n\"instance_ip\": x\ninstance_ips: y\n  instance_gpu: 1\n#instance_name: z\ninstance_type:\r\n";
        let file = put(own.as_bytes(), "instance_ip: a\ninstance_gpu: false\ninstance_name: b\ninstance_type: lxc\n");
        assert_eq!(written_twice(&file), ["instance_ip", "instance_type"]);
    }

    /// Bytes that somebody may have in a file, much like our own among them.
    fn somebodys() -> impl Strategy<Value = Vec<u8>> {
        let ours = text(&new_file("a: 1\nb:\n  - c\n"));
        let half = ours[..ours.len() / 2].to_owned();
        let line = prop_oneof![
            4 => "[a-z]{1,6}: [a-z0-9]{0,4}".prop_map(String::into_bytes),
            2 => "#? ?[ -~]{0,20}".prop_map(String::into_bytes),
            2 => Just(BEGIN.as_bytes().to_vec()),
            1 => Just(format!(" {END}").into_bytes()),
            1 => Just(format!("{NOTE}0123456789abcdef").into_bytes()),
            1 => Just(b"---".to_vec()),
            1 => Just(half.into_bytes()),
            1 => prop::collection::vec(any::<u8>(), 0..8),
        ];
        let end = prop_oneof![4 => Just("\n"), 2 => Just("\r\n"), 1 => Just("")];
        let lines = prop::collection::vec((line, end), 0..8);
        lines.prop_map(|lines| {
            lines.into_iter().flat_map(|(line, end)| [line, end.as_bytes().to_vec()].concat()).collect()
        })
    }

    fn body() -> impl Strategy<Value = String> {
        prop::collection::vec("[a-z_]{1,8}: [a-z0-9]{0,6}\n", 0..5).prop_map(|lines| lines.concat())
    }

    proptest! {
        #[test]
        fn whatever_somebody_wrote_survives_any_number_of_syncs(
            own in somebodys(), bodies in prop::collection::vec(body(), 1..5)
        ) {
            // One without marks: what stands between two of them is ours by definition.
            prop_assume!(find(&own).is_none());
            let mut file = own.clone();
            for body in &bodies {
                file = put(&file, body);
                prop_assert_eq!(&put(&file, body), &file, "the second time nothing is written");
                let section = find(&file).unwrap();
                prop_assert_eq!(&section.body, body);
                prop_assert!(section.untouched);
                let rest = taken_out(&file).unwrap();
                // Below a `---` at the very end there has to be a line for it.
                prop_assert!(rest == own || (own.ends_with(b"---") && rest == [&own[..], b"\n"].concat()));
            }
        }

        #[test]
        fn whatever_stands_around_the_section_survives_too(
            above in somebodys(), below in somebodys(), bodies in prop::collection::vec(body(), 1..5)
        ) {
            let above = if above.is_empty() || above.ends_with(b"\n") { above } else { [&above[..], b"\n"].concat() };
            let ours = put(b"", "first: 1\n");
            let ours = ours.strip_suffix(b"\n").unwrap();
            let below = if below.is_empty() || below.starts_with(b"\n") { below } else { [b"\n", &below[..]].concat() };
            let mut file = [&above[..], ours, &below[..]].concat();
            prop_assume!(find(&above).is_none_or(|section| !section.untouched));
            for body in &bodies {
                file = put(&file, body);
                prop_assert!(file.starts_with(&above) && file.ends_with(&below));
                let inside = &file[above.len()..file.len() - below.len()];
                prop_assert_eq!(inside.split(|byte| *byte == b'\n').next().unwrap().trim_ascii_end(), BEGIN.as_bytes());
                prop_assert_eq!(&put(&file, body), &file);
            }
        }

        #[test]
        fn no_bytes_at_all_make_it_stumble(own in prop::collection::vec(any::<u8>(), 0..200), body in body()) {
            let file = put(&own, &body);
            prop_assert_eq!(find(&file).unwrap().body, body);
        }
    }
}
