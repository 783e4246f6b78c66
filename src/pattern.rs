//! Regular expressions in the settings, as RE2 and Go read them: Coder's settings mean those.

use regex::{Regex, RegexBuilder};
use regex_syntax::ast::{
    Assertion, AssertionKind, Ast, ClassPerl, ClassPerlKind, ClassSetBinaryOp, ClassSetItem, Span, Visitor, parse::Parser, visit,
};

/// The most memory that a compiled pattern may take, in bytes. Matching takes time linear in the text's length, whatever the pattern.
pub const MAX_PATTERN_SIZE: usize = 1 << 20;

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// It is no regular expression, or one with look-around or backreferences; or it has what another library reads otherwise.
    #[error(
        "is no regular expression of RE2's syntax, without \\Q, and with \\{{ and, in a class, \\[, \\&, \\- and \\~ for those characters"
    )]
    Syntax,
    /// It takes too much memory.
    #[error("is too large a regular expression")]
    TooLarge,
}

/// Compiles a pattern. Its digits, word characters and blanks (`\d`, `\w`, `\s`, `\b`) are those of ASCII, as in RE2: a rule for `4\d+`
/// must not admit digits of other scripts.
///
/// # Errors
/// [`InvalidPattern`].
pub fn compile(text: &str) -> Result<Regex, InvalidPattern> {
    let pattern = with_ascii_classes(text).ok_or(InvalidPattern::Syntax)?;
    RegexBuilder::new(&pattern).size_limit(MAX_PATTERN_SIZE).build().map_err(|error| {
        if matches!(error, regex::Error::CompiledTooBig(_)) { InvalidPattern::TooLarge } else { InvalidPattern::Syntax }
    })
}

/// The pattern with Perl's classes written out. `None`: it is none, or it has a class in a class, or `&&`, `--` or `~~` there, which are
/// mere characters to RE2 and would let others in here.
fn with_ascii_classes(text: &str) -> Option<String> {
    let ast = Parser::new().parse(text).ok()?;
    let mut written = String::with_capacity(text.len());
    let mut copied = 0;
    for (span, class) in visit(&ast, Classes::default()).ok()? {
        written.push_str(text.get(copied..span.start.offset)?);
        written.push_str(class);
        copied = span.end.offset;
    }
    written.push_str(text.get(copied..)?);
    Some(written)
}

/// The classes of a pattern in their order, and how each is written out.
#[derive(Default)]
struct Classes(Vec<(Span, &'static str)>);

impl Visitor for Classes {
    type Output = Vec<(Span, &'static str)>;
    type Err = InvalidPattern;

    fn finish(self) -> Result<Self::Output, Self::Err> {
        Ok(self.0)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Self::Err> {
        if let Ast::ClassPerl(class) = ast {
            self.0.push((class.span, written_out(class)));
        }
        if let Ast::Assertion(assertion) = ast
            && let Assertion { span, kind: AssertionKind::WordBoundary } = **assertion
        {
            self.0.push((span, r"(?-u:\b)"));
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Self::Err> {
        match item {
            ClassSetItem::Perl(class) => self.0.push((class.span, written_out(class))),
            ClassSetItem::Bracketed(_) => return Err(InvalidPattern::Syntax),
            ClassSetItem::Empty(_)
            | ClassSetItem::Literal(_)
            | ClassSetItem::Range(_)
            | ClassSetItem::Ascii(_)
            | ClassSetItem::Unicode(_)
            | ClassSetItem::Union(_) => {}
        }
        Ok(())
    }

    fn visit_class_set_binary_op_pre(&mut self, _operation: &ClassSetBinaryOp) -> Result<(), Self::Err> {
        Err(InvalidPattern::Syntax)
    }
}

fn written_out(class: &ClassPerl) -> &'static str {
    match (&class.kind, class.negated) {
        (ClassPerlKind::Digit, false) => "[0-9]",
        (ClassPerlKind::Digit, true) => "[^0-9]",
        (ClassPerlKind::Space, false) => r"[\t\n\f\r\x20]",
        (ClassPerlKind::Space, true) => r"[^\t\n\f\r\x20]",
        (ClassPerlKind::Word, false) => "[0-9A-Za-z_]",
        (ClassPerlKind::Word, true) => "[^0-9A-Za-z_]",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_word_characters_and_blanks_are_those_of_ascii() {
        for (pattern, text, matches) in [
            (r"^4\d+$", "42", true),
            (r"^4\d+$", "4٣", false),
            (r"^[a\d]+$", "a1", true),
            (r"^[a\d]+$", "a٣", false),
            (r"^[^\d]$", "٣", true),
            (r"^\D$", "٣", true),
            (r"^\w+$", "team_1", true),
            (r"^\w+$", "jörg", false),
            (r"^\W$", "ö", true),
            (r"^a\sb$", "a b", true),
            (r"^(?x) a \s b $", "a b", true),
            (r"^a\sb$", "a\u{a0}b", false),
            (r"\bteam\b", "öteam", true),
            (r"\bteam\b", "xteam", false),
            (r"^(?i)APP-\d$", "app-1", true),
            (r"^\\d$", r"\d", true),
            (r"^jörg\d$", "jörg1", true),
            (r"^\p{Greek}$", "β", true),
            (r"^[[:alpha:]_]$", "_", true),
            (r"^[\[a]$", "[", true),
            (r"^[a\&\&b]$", "&", true),
        ] {
            assert_eq!(compile(pattern).unwrap().is_match(text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_no_pattern_and_what_is_too_large_is_told() {
        for text in ["(", "a)|(b", r"(?=a)", r"(a)\1", r"\Qa.b\E", r"[a-\d]", "[[a]b]", "[a&&b]", "[a-c--b]", "[a~~b]", "a{"] {
            assert_eq!(compile(text).unwrap_err(), InvalidPattern::Syntax, "{text}");
        }
        assert_eq!(compile(r"(\w{1000}){1000}").unwrap_err(), InvalidPattern::TooLarge);
    }
}
