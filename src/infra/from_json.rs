//! Values of anklume's own as YAML, in a form that YAML 1.1 readers (Ansible's among them) read back as the same.

use serde_json::Value;

use super::emit;
use super::node::{Entry, Kind, Node};
use super::problem::Place;

const NOWHERE: Place = Place { file: usize::MAX, start: 0, end: 0 };

/// What a YAML 1.1 reader takes for something else than a text.
const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];

/// The value as a YAML document. A text with `{{` or `{%` in it is marked `!unsafe`: Ansible would take it for a template.
pub(crate) fn yaml(value: &Value) -> String {
    emit::yaml(&node(value))
}

/// Would Ansible take this text for a template?
pub(crate) fn looks_like_a_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark))
}

fn node(value: &Value) -> Node {
    let scalar = |text: String, plain: bool| Kind::Scalar { text, plain };
    let (tag, kind) = match value {
        Value::Null => (None, scalar("null".into(), true)),
        Value::Bool(on) => (None, scalar(on.to_string(), true)),
        Value::Number(number) => (None, scalar(number.to_string(), true)),
        Value::String(text) => {
            let tag = looks_like_a_template(text).then(|| "!unsafe".to_owned());
            (tag, scalar(text.clone(), is_plain(text)))
        }
        Value::Array(items) => (None, Kind::List(items.iter().map(node).collect())),
        Value::Object(entries) => (None, Kind::Map(entries.iter().map(entry).collect())),
    };
    Node { place: NOWHERE, tag, kind }
}

fn entry((key, value): (&String, &Value)) -> Entry {
    Entry { key: key.clone(), plain: is_plain(key), place: NOWHERE, value: node(value) }
}

/// May the text stand without quotes, whoever reads it?
fn is_plain(text: &str) -> bool {
    let starts = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '/');
    let harmless = |c: char| c.is_alphanumeric() || " _./@+,:;()-='!?".contains(c);
    starts
        && text.chars().all(harmless)
        && !text.ends_with([':', ' '])
        && !text.contains(": ")
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn it_is_written_as_people_write_it() {
        let value = json!({
            "domain_name": "pro", "domain_ephemeral": false, "incus_network": {"subnet": "10.110.0.0/24"},
            "incus_all_images": ["images:debian/13"], "services": [{"name": "web", "consumers": ["a"]}], "none": [],
        });
        let expected = "domain_name: pro\ndomain_ephemeral: false\nincus_network:\n  subnet: \"10.110.0.0/24\"\n\
            incus_all_images:\n  - images:debian/13\nservices:\n  - name: web\n    consumers:\n      - a\nnone: []\n";
        assert_eq!(yaml(&value), expected);
    }

    #[test]
    fn what_an_older_reader_would_take_for_something_else_is_quoted() {
        for text in ["no", "On", "0755", "1:30", "1_000", "2026-01-01", "~", "", "=", "<<", "a: b", "a #b", ".5", "Y"] {
            assert_eq!(yaml(&json!({ "k": text })), format!("k: \"{text}\"\n"));
        }
    }

    #[test]
    fn what_looks_like_a_template_is_none() {
        assert_eq!(yaml(&json!({"k": "{{ x }}"})), "k: !unsafe \"{{ x }}\"\n");
        assert_eq!(
            yaml(&json!({"k": "## template: jinja\n{% if x %}\n"})),
            "k: !unsafe |\n  ## template: jinja\n  {% if x %}\n"
        );
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            // No template: this reader keeps the tag, and has no text then.
            "[^{]{0,12}".prop_map(Value::from),
            "[a-z0-9:#. \\n'\"-]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[^{]{0,8}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_value_is_read_back_as_it_was(value in any_value()) {
            let text = yaml(&json!({ "value": value }));
            let read: Value = serde_yaml::from_str(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            prop_assert_eq!(&read["value"], &value, "{}", text);
        }
    }
}
