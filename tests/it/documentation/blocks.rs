//! The code of a document: its blocks, fenced or indented, and what stands between backquotes.

use std::fs;

use super::{documents, root};

/// A piece of code, with the document and the line in which it begins.
pub(super) struct Code {
    pub(super) place: String,
    /// That of a fence; empty for one that names none, and for what is indented.
    pub(super) language: String,
    pub(super) text: String,
}

/// The blocks of all documents.
pub(super) fn blocks() -> Vec<Code> {
    of_documents(|name, text| {
        let mut found: Vec<Code> = Vec::new();
        let (mut is_fenced, mut is_indented) = (false, false);
        for (number, line) in text.lines().enumerate() {
            let begun = |language: &str| Code {
                place: format!("{name}:{}", number + 1),
                language: language.to_owned(),
                text: String::new(),
            };
            if let Some(language) = line.trim_start().strip_prefix("```") {
                is_fenced = !is_fenced;
                if is_fenced {
                    found.push(begun(language));
                }
                is_indented = false;
                continue;
            }
            let indented = line.strip_prefix("    ").or((is_indented && line.is_empty()).then_some(""));
            let content = if is_fenced { Some(line) } else { indented };
            let Some(content) = content else {
                is_indented = false;
                continue;
            };
            if !is_fenced && !is_indented {
                is_indented = true;
                found.push(begun(""));
            }
            let block = found.last_mut().unwrap();
            block.text.push_str(content);
            block.text.push('\n');
        }
        found
    })
}

/// What stands between backquotes in the text of all documents.
pub(super) fn spans() -> Vec<Code> {
    of_documents(|name, text| {
        let mut is_fenced = false;
        let mut found = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let is_fence = line.trim_start().starts_with("```");
            is_fenced ^= is_fence;
            if is_fenced || is_fence || line.starts_with("    ") {
                continue;
            }
            let place = format!("{name}:{}", number + 1);
            let code = |text: &str| Code { place: place.clone(), language: String::new(), text: text.to_owned() };
            found.extend(line.split('`').skip(1).step_by(2).map(code));
        }
        found
    })
}

fn of_documents(read: impl Fn(&str, &str) -> Vec<Code>) -> Vec<Code> {
    documents().into_keys().flat_map(|name| read(&name, &fs::read_to_string(root().join(&name)).unwrap())).collect()
}

/// A simple command of a shell: what parts it from the one before, and its words without quotes.
pub(super) struct Simple {
    pub(super) after: char,
    pub(super) words: Vec<String>,
}

/// The simple commands of a text as a shell reads them, those within `$(…)` as well. Comments are left out.
pub(super) fn simple_commands(text: &str) -> Vec<Simple> {
    let mut found = Vec::new();
    let mut simple = Simple { after: '\n', words: Vec::new() };
    let (mut word, mut quote, mut around) = (None::<String>, None, Vec::new());
    let joined = text.replace("\\\n", " ");
    let mut letters = joined.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\'' | '"', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (_, Some(open)) if open == letter => quote = None,
            (_, Some('\'')) => word.get_or_insert_default().push(letter),
            ('#', None) if word.is_none() => while letters.next_if(|next| *next != '\n').is_some() {},
            // What a command prints is a word of the one around it, which nobody needs here.
            ('$', _) if letters.peek() == Some(&'(') => {}
            ('|' | ';' | '&' | '\n', None) | ('(' | ')', _) => {
                simple.words.extend(word.take());
                let before = std::mem::replace(&mut simple, Simple { after: letter, words: Vec::new() });
                match letter {
                    '(' => around.push(quote.take()),
                    ')' => quote = around.pop().flatten(),
                    _ => {}
                }
                if before.words.is_empty() {
                    // What follows `||` reads nothing.
                    simple.after = if before.after == letter { '\n' } else { before.after };
                } else {
                    found.push(before);
                }
            }
            (' ' | '\t', None) => simple.words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    simple.words.extend(word.take());
    if !simple.words.is_empty() {
        found.push(simple);
    }
    found
}

#[test]
fn commands_are_read_as_a_shell_reads_them() {
    let read = |text: &str| -> Vec<String> { simple_commands(text).iter().map(|simple| simple.words.join("·")).collect() };
    let cases: [(&str, &[&str]); 7] = [
        ("evergate check  # why\nevergate serve", &["evergate·check", "evergate·serve"]),
        ("A=b evergate \\\n  check || true", &["A=b·evergate·check", "true"]),
        ("curl -H \"Bearer $(evergate token URL)\" a", &["curl·-H·Bearer ", "evergate·token·URL", "a"]),
        ("x 'a; b | c' \"d e\"", &["x·a; b | c·d e"]),
        ("a#b 'it''s'", &["a#b·its"]),
        ("evergate keys status | tee x", &["evergate·keys·status", "tee·x"]),
        ("# nothing\n\n", &[]),
    ];
    for (text, expected) in cases {
        assert_eq!(read(text), expected, "{text}");
    }
}
