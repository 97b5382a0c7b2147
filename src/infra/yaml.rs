//! Reads YAML text into a `Node` tree, each value with its place and its exact text.
//!
//! `serde_yaml` gives a visitor no places, but it lends strings from the text it reads: where such a string starts is
//! its place. It lends them only when asked for a string, so the text is read twice: once for its outline (is it a
//! scalar, a list or a map?), once to fetch every scalar as the string that was written.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess, Visitor};

use super::node::{Entry, Kind, Node};
use super::problem::{Place, Problem};
use super::scan;
use super::syntax;

/// How many values a file may hold once its aliases are written out: a hundred times a large infrastructure.
pub(super) const MAX_VALUES: usize = 500_000;

/// Reads one file. An empty one is an empty map; broken YAML is one problem.
pub(super) fn read(text: &str, file: usize) -> Result<Node, Box<Problem>> {
    if let Some(problem) = syntax::refused(text, file) {
        return Err(Box::new(problem));
    }
    let outline = outline(text).map_err(|error| Box::new(syntax::explain(&error, text, file)))?;
    if outline.is_empty() {
        return Ok(Node::empty(file));
    }
    let mut builder = Builder { text, file, outline: outline.into_iter(), cursor: 0 };
    builder
        .deserialize(serde_yaml::Deserializer::from_str(text))
        .map_err(|error| Box::new(syntax::explain(&syntax::Broken { why: syntax::Why::Yaml, error }, text, file)))
}

/// The kinds of all values in the order they are written; empty for a file without any.
fn outline(text: &str) -> Result<Vec<Shape>, syntax::Broken> {
    let mut outline = Outline { shapes: Vec::new(), why: syntax::Why::Yaml };
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let Some(first) = documents.next() else { return Ok(Vec::new()) };
    if let Err(error) = outline.deserialize(first) {
        return Err(syntax::Broken { why: outline.why, error });
    }
    if let Some(second) = documents.next() {
        let error = second.deserialize_any(Stop).err().unwrap_or_else(|| serde_yaml::Error::custom("second"));
        return Err(syntax::Broken { why: syntax::Why::SecondDocument, error });
    }
    Ok(outline.shapes)
}

#[derive(Clone, Copy)]
enum Shape {
    Scalar,
    List,
    Map,
}

/// The first reading. `why` says what stopped it, when it was not the YAML itself.
struct Outline {
    shapes: Vec<Shape>,
    why: syntax::Why,
}

impl Outline {
    fn add<E: serde::de::Error>(&mut self, shape: Shape) -> Result<(), E> {
        if self.shapes.len() >= MAX_VALUES {
            self.why = syntax::Why::TooMany;
            return Err(E::custom("too many values"));
        }
        self.shapes.push(shape);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for &mut Outline {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! scalars {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E: serde::de::Error>(self, _: $type) -> Result<(), E> {
            self.add(Shape::Scalar)
        })*
    };
}

impl<'de> Visitor<'de> for &mut Outline {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    scalars! { visit_bool: bool, visit_i64: i64, visit_i128: i128, visit_u64: u64, visit_u128: u128, visit_f64: f64, visit_str: &str }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.add(Shape::Scalar)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.add(Shape::List)?;
        while list.next_element_seed(&mut *self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.add(Shape::Map)?;
        loop {
            self.why = syntax::Why::Key;
            let key = map.next_key_seed(KeyIsText)?;
            self.why = syntax::Why::Yaml;
            if key.is_none() {
                return Ok(());
            }
            map.next_value_seed(&mut *self)?;
        }
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        self.why = syntax::Why::Tag;
        Err(A::Error::custom("a tag"))
    }
}

/// A key: any text will do.
struct KeyIsText;

impl<'de> DeserializeSeed<'de> for KeyIsText {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIsText {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

/// Fails at whatever comes, and so learns its place.
struct Stop;

impl Visitor<'_> for Stop {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }
}

/// The second reading. `cursor` is where the text was last seen to be read, for values that are not lent.
struct Builder<'t> {
    text: &'t str,
    file: usize,
    outline: std::vec::IntoIter<Shape>,
    cursor: usize,
}

/// A scalar with its place.
struct Found {
    text: String,
    plain: bool,
    tag: Option<String>,
    place: Place,
}

impl Builder<'_> {
    /// A scalar that was lent from the text, or a copy of one that is not there in that form (`"\n"`, `|`).
    fn found(&mut self, value: &str, lent: bool) -> Found {
        let lead = scan::lead(self.text, self.cursor);
        let (start, end, quoted) = if lent {
            let start = value.as_ptr() as usize - self.text.as_ptr() as usize;
            let quoted = start > 0 && matches!(self.text.as_bytes()[start - 1], b'"' | b'\'');
            (start - usize::from(quoted), start + value.len() + usize::from(quoted), quoted)
        } else {
            let (end, quoted) = scan::scalar_end(self.text, lead.at);
            (lead.at, end, quoted)
        };
        let tag = lead.tag.filter(|_| lead.at == start).map(|tag| self.text[tag].to_owned());
        self.cursor = if lent { end } else { scan::scalar_after(self.text, start, end) };
        let place = Place { file: self.file, start, end };
        Found { text: value.to_owned(), plain: !quoted && tag.is_none(), tag, place }
    }

    /// Where a list or map starts, and its tag.
    fn open(&mut self) -> (Place, Option<String>) {
        let lead = scan::opening(self.text, self.cursor);
        let opened = matches!(self.text.as_bytes().get(lead.at), Some(b'[' | b'{'));
        self.cursor = lead.at + usize::from(opened);
        let place = Place { file: self.file, start: lead.at, end: scan::line_end(self.text, lead.at) };
        (place, lead.tag.map(|tag| self.text[tag].to_owned()))
    }

    /// The place of a list or map, once all in it has been read.
    fn close(&mut self, mut place: Place) -> Place {
        if let Some(b'[' | b'{') = self.text.as_bytes().get(place.start)
            && self.cursor >= place.start
            && let Some(length) = self.text[self.cursor..].find([']', '}'])
        {
            self.cursor += length + 1;
            place.end = self.cursor;
        }
        place
    }
}

impl<'de> DeserializeSeed<'de> for &mut Builder<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        match self.outline.next() {
            Some(Shape::List) => deserializer.deserialize_seq(Container(self)),
            Some(Shape::Map) => deserializer.deserialize_map(Container(self)),
            Some(Shape::Scalar) | None => {
                let Found { text, plain, tag, place } = Scalar(self).deserialize(deserializer)?;
                Ok(Node { place, tag, kind: Kind::Scalar { text, plain } })
            }
        }
    }
}

struct Scalar<'b, 't>(&'b mut Builder<'t>);

impl<'de> DeserializeSeed<'de> for Scalar<'_, '_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Scalar<'_, '_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, value: &'de str) -> Result<Found, E> {
        Ok(self.0.found(value, true))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Found, E> {
        Ok(self.0.found(value, false))
    }
}

struct Container<'b, 't>(&'b mut Builder<'t>);

impl<'de> Visitor<'de> for Container<'_, '_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or a map")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let (place, tag) = self.0.open();
        let mut items = Vec::new();
        loop {
            self.0.cursor = scan::item(self.0.text, self.0.cursor);
            let Some(item) = list.next_element_seed(&mut *self.0)? else { break };
            items.push(item);
        }
        Ok(Node { place: self.0.close(place), tag, kind: Kind::List(items) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let (place, tag) = self.0.open();
        let mut entries = Vec::new();
        while let Some(key) = map.next_key_seed(Scalar(&mut *self.0))? {
            let value = map.next_value_seed(&mut *self.0)?;
            entries.push(Entry { key: key.text, plain: key.plain, place: key.place, value });
        }
        Ok(Node { place: self.0.close(place), tag, kind: Kind::Map(entries) })
    }
}
