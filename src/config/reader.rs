//! Reads settings by their declarations, and collects every problem and warning on the way.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Problem, Problems,
    raw::{Given, OtelVariables, ProviderTable, ProxyVariables, Raw, RouteTable, SettingSource},
    setting::Setting,
    values,
};
use crate::{oidc::ProxySettings, secret::Secret};

/// Reads settings; whatever is wrong with one is noted, and reading goes on.
pub(super) struct Reader<'a> {
    raw: &'a Raw,
    /// What is read: that of a `[[provider]]` table alone, or all.
    given: &'a BTreeMap<&'static str, Given>,
    unreadable: &'a BTreeSet<&'static str>,
    /// Where settings belong that were not given.
    place: SettingSource,
    pub(super) problems: Problems,
    pub(super) warnings: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// A reader of `raw`, which adds to the problems that were found so far.
    pub(super) fn new(raw: &'a Raw, problems: Problems) -> Self {
        let warnings = raw.warnings.clone();
        Self { raw, given: &raw.given, unreadable: &raw.unreadable, place: SettingSource::Environment, problems, warnings }
    }

    /// A reader of the provider's settings in a table of `raw`.
    pub(super) fn of_table(table: &'a ProviderTable, raw: &'a Raw, problems: Problems) -> Self {
        let ProviderTable { number, given, unreadable, warnings, own: _ } = table;
        Self { raw, given, unreadable, place: SettingSource::ProviderTable(*number), problems, warnings: warnings.clone() }
    }

    /// All settings as texts.
    pub(super) fn raw(&self) -> &'a Raw {
        self.raw
    }

    /// The setting's text, if it was given or has a default.
    pub(super) fn text(&self, setting: &Setting) -> Option<&'a str> {
        self.given.get(setting.name).map(|given| given.text.as_str())
    }

    /// The setting's text as a value of its own.
    pub(super) fn owned(&self, setting: &Setting) -> Option<String> {
        self.text(setting).map(str::to_owned)
    }

    /// The members of a list; none if it was not given.
    pub(super) fn list(&self, setting: &Setting) -> Vec<String> {
        self.text(setting).map(values::list).unwrap_or_default()
    }

    /// The file's `[[route]]` tables.
    pub(super) fn routes(&self) -> &'a [RouteTable] {
        &self.raw.routes
    }

    /// The file's `[[token_issuer]]` tables.
    pub(super) fn token_issuers(&self) -> &'a [RouteTable] {
        &self.raw.token_issuers
    }

    /// The proxy of the environment. One that cannot be used is a problem.
    pub(super) fn proxy(&mut self) -> Option<ProxySettings> {
        let ProxyVariables { https, exceptions } = &self.raw.proxy;
        let https = https.as_ref().map(Secret::expose).unwrap_or_default();
        let read = ProxySettings::parse(https, exceptions);
        read.map_err(|message| self.problems.add("HTTPS_PROXY", message)).ok()
    }

    /// Whether the setting was given, even if its value is unreadable, which is reported where it is read.
    pub(super) fn is_given(&self, setting: &Setting) -> bool {
        self.given.contains_key(setting.name) || self.unreadable.contains(setting.name)
    }

    /// Whether the setting was given otherwise than by its default.
    pub(super) fn is_chosen(&self, setting: &Setting) -> bool {
        self.raw.is_chosen(setting.name)
    }

    /// The name under which the setting was given, or would be.
    pub(super) fn name(&self, setting: &Setting) -> String {
        let source = self.given.get(setting.name).map(|given| &given.source).filter(|source| **source != SettingSource::Default);
        source.unwrap_or(&self.place).name(setting.name)
    }

    /// OpenTelemetry's variables.
    pub(super) fn otel(&self) -> &'a OtelVariables {
        &self.raw.otel
    }

    /// Notes a problem of a variable of the environment that is no setting of Evergate's own.
    pub(super) fn variable_problem(&mut self, variable: &str, message: String) {
        self.problems.add(variable, message);
    }

    /// Notes that a variable that is no setting of Evergate's own is ignored.
    pub(super) fn variable_warning(&mut self, variable: &str, message: String) {
        self.warnings.push(Problem { key: variable.to_owned(), message });
    }

    /// Notes a problem, after which nothing is started.
    pub(super) fn problem(&mut self, setting: &Setting, message: impl Into<String>) {
        self.problems.add(self.name(setting), message.into());
    }

    /// Notes something odd that prevents nothing from working.
    pub(super) fn warn(&mut self, setting: &Setting, message: impl Into<String>) {
        self.warnings.push(Problem { key: self.name(setting), message: message.into() });
    }

    /// A setting that may be left out. `parse` returns the rest of a sentence that begins with the setting's name and does not
    /// repeat the value.
    pub(super) fn parsed<T>(&mut self, setting: &Setting, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match parse(self.text(setting)?) {
            Ok(value) => Some(value),
            Err(message) => {
                self.problem(setting, message);
                None
            }
        }
    }

    /// A setting that must be given, as in `example`.
    pub(super) fn required<T>(
        &mut self,
        setting: &Setting,
        example: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if !self.is_given(setting) {
            self.problem(setting, format!("is required, as in {example}"));
        }
        self.parsed(setting, parse)
    }

    /// A duration, which may be 0.
    pub(super) fn duration(&mut self, setting: &Setting) -> Option<Duration> {
        self.parsed(setting, values::duration)
    }

    /// A duration longer than 0.
    pub(super) fn positive(&mut self, setting: &Setting) -> Option<Duration> {
        self.parsed(setting, |text| match values::duration(text)? {
            Duration::ZERO => Err("must be longer than 0".to_owned()),
            duration => Ok(duration),
        })
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, setting: &Setting) -> Option<bool> {
        self.parsed(setting, values::boolean)
    }

    /// A number of things, of which there must be one at least.
    pub(super) fn number(&mut self, setting: &Setting) -> Option<u32> {
        self.number_up_to(10_000, setting)
    }

    /// A number of things, of which there must be one at least and `most` at most.
    pub(super) fn number_up_to(&mut self, most: u32, setting: &Setting) -> Option<u32> {
        self.parsed(setting, |text| {
            text.parse()
                .ok()
                .filter(|number| (1..=most).contains(number))
                .ok_or_else(|| format!("must be a whole number from 1 to {most}"))
        })
    }
}
