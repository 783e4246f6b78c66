//! YAML as settings need it: texts, lists and maps, of which JSON is a part (YAML 1.2.2 section 1.3). Every scalar is the text that
//! was written, as in the environment; what would make a text of something else (tags, anchors, aliases) is refused.

#![expect(clippy::wildcard_enum_match_arm, reason = "whatever event is not expected is refused")]

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Nothing, `~` or `null`.
    Null,
    /// A text; also a number, true or false.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map. No key is there twice.
    Map(BTreeMap<String, Node>),
}

/// Where a document cannot be read, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}")]
pub(super) struct Position {
    line: usize,
    column: usize,
}

/// No document of settings is deeper.
const MAX_DEPTH: usize = 16;

/// Reads one document.
///
/// # Errors
/// [`Position`]: it is none, there are several, or it has what is no setting. The text is not repeated, because it may hold a secret.
pub(super) fn parse(text: &str) -> Result<Node, Position> {
    let mut events = Events { parser: Parser::new_from_str(text), at: Position { line: 1, column: 1 } };
    events.expect(|event| matches!(event, Event::StreamStart))?;
    let root = match events.next()? {
        Event::StreamEnd => return Ok(Node::Null),
        Event::DocumentStart(_) => {
            let first = events.next()?;
            events.node(first, 0)?
        }
        _ => return Err(events.at),
    };
    events.expect(|event| matches!(event, Event::DocumentEnd))?;
    events.expect(|event| matches!(event, Event::StreamEnd))?;
    Ok(root)
}

struct Events<'a, T: saphyr_parser::Input> {
    parser: Parser<'a, T>,
    at: Position,
}

impl<'a, T: saphyr_parser::Input> Events<'a, T> {
    fn next(&mut self) -> Result<Event<'a>, Position> {
        let position = |marker: &saphyr_parser::Marker| Position { line: marker.line(), column: marker.col() + 1 };
        match self.parser.next() {
            Some(Ok((event, span))) => {
                self.at = position(&span.start);
                Ok(event)
            }
            Some(Err(error)) => Err(position(error.marker())),
            None => Err(self.at),
        }
    }

    fn expect(&mut self, is_expected: impl Fn(&Event<'a>) -> bool) -> Result<(), Position> {
        if is_expected(&self.next()?) { Ok(()) } else { Err(self.at) }
    }

    /// The node that begins with `first`.
    fn node(&mut self, first: Event<'a>, depth: usize) -> Result<Node, Position> {
        if depth > MAX_DEPTH {
            return Err(self.at);
        }
        match first {
            Event::Scalar(text, style, 0, None) => {
                let is_null = style == ScalarStyle::Plain && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
                Ok(if is_null { Node::Null } else { Node::Text(text.into_owned()) })
            }
            Event::SequenceStart(0, None) => {
                let mut members = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => return Ok(Node::List(members)),
                        member => members.push(self.node(member, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(0, None) => {
                let mut members = BTreeMap::new();
                loop {
                    let key = match self.next()? {
                        Event::MappingEnd => return Ok(Node::Map(members)),
                        Event::Scalar(key, _, 0, None) => key.into_owned(),
                        _ => return Err(self.at),
                    };
                    let at = self.at;
                    let value = self.next()?;
                    let value = self.node(value, depth + 1)?;
                    if members.insert(key, value).is_some() {
                        return Err(at);
                    }
                }
            }
            // With an anchor or a tag, or an alias.
            _ => Err(self.at),
        }
    }
}

#[cfg(test)]
mod tests;
