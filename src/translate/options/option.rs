//! What an option of oauth2-proxy is.

/// One option.
#[derive(Debug)]
pub(crate) struct ProxyOption {
    /// The flag, without dashes. The environment and the file have the same name with underscores, and with an `s` if it is a list.
    pub(crate) flag: &'static str,
    /// Names that other releases had.
    pub(crate) aliases: &'static [&'static str],
    /// How values are written.
    pub(crate) form: Form,
    /// What it becomes.
    pub(crate) meaning: Meaning,
}

/// How an option's values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One text.
    Text,
    /// Texts; a flag may be repeated.
    List,
    /// True or false; as a flag it may stand alone.
    Switch,
    /// A text that nobody else may see.
    Secret,
}

/// What an option becomes here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Settings, as the text says in Markdown.
    Becomes(&'static str),
    /// Settings, as for `Becomes`; it decides who may enter, so that nobody may where its value is not known.
    Restriction(&'static str),
    /// Nothing, because of this.
    NoEffect(&'static str),
    /// Evergate has nothing like it. What to do instead.
    NoEquivalent(&'static str),
    /// It restricts who may enter, and Evergate has nothing like it: without a decision of the administrator's too many would enter.
    NoRestriction(&'static str),
}

pub(super) const fn option(flag: &'static str, form: Form, meaning: Meaning) -> ProxyOption {
    ProxyOption { flag, aliases: &[], form, meaning }
}

pub(super) const fn text(flag: &'static str, becomes: &'static str) -> ProxyOption {
    option(flag, Form::Text, Meaning::Becomes(becomes))
}

pub(super) const fn list(flag: &'static str, becomes: &'static str) -> ProxyOption {
    option(flag, Form::List, Meaning::Becomes(becomes))
}

pub(super) const fn switch(flag: &'static str, becomes: &'static str) -> ProxyOption {
    option(flag, Form::Switch, Meaning::Becomes(becomes))
}

pub(super) const fn secret(flag: &'static str, becomes: &'static str) -> ProxyOption {
    option(flag, Form::Secret, Meaning::Becomes(becomes))
}

pub(super) const fn restriction(flag: &'static str, form: Form, becomes: &'static str) -> ProxyOption {
    option(flag, form, Meaning::Restriction(becomes))
}
