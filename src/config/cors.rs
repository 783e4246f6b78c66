//! `cors` of a route: a table with members of its own.

use std::collections::BTreeMap;

use http::{HeaderName, Method};

use super::{
    route_reader::RouteReader,
    setting::{Setting, ValueType, setting},
    values,
    yaml::{self, Node},
};
use crate::policy::{Allowed, Cors, CorsSettings, OriginPattern, Rule};

pub(super) const CORS: Setting = setting(
    "cors",
    ValueType::Table,
    "",
    "CORS: a table that says which other origins' scripts may use the route, as in `{ origins = [\"https://app.example.com\", \"https://*.apps.example.com\"], methods = [\"GET\", \"PUT\"], headers = [\"content-type\"], exposed_headers = [\"etag\"], credentials = true, max_age = \"10m\" }`. Evergate answers their preflights itself, writes the CORS headers of all responses, its refusals among them, and removes the app's. `methods`: default those of the route, or GET, HEAD and POST. `credentials`: whether requests may have cookies, default false. `docs/cors.md` has the rest.",
);

const MEMBERS: [&str; 6] = ["origins", "methods", "headers", "exposed_headers", "credentials", "max_age"];
const STAR: &str = "*";

/// Reads the members of the table.
struct Members<'a, 'b> {
    reader: &'a mut RouteReader<'b>,
    members: BTreeMap<String, Node>,
}

impl RouteReader<'_> {
    /// The CORS policy of a route whose rule is `rule`.
    pub(super) fn cors(&mut self, rule: &Rule) -> Option<Cors> {
        let members = self.parsed(&CORS, |text| match yaml::parse(text) {
            Ok(Node::Map(members)) => Ok(members),
            Ok(Node::Null | Node::Text(_) | Node::List(_)) | Err(_) => Err("must be a table".to_owned()),
        })?;
        Members { reader: self, members }.read(rule)
    }
}

impl Members<'_, '_> {
    fn problem(&mut self, member: &str, message: impl Into<String>) {
        self.reader.member_problem(&CORS, member, message);
    }

    fn read(mut self, rule: &Rule) -> Option<Cors> {
        let unknown: Vec<String> = self.members.keys().filter(|name| !MEMBERS.contains(&name.as_str())).cloned().collect();
        for name in unknown {
            let near = MEMBERS.iter().find(|member| strsim::damerau_levenshtein(member, &name) <= 3);
            let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            self.problem(&name, format!("there is no such setting of cors{hint}"));
        }
        let credentials = self.one("credentials", values::boolean).unwrap_or(false);
        let origins = self.origins(credentials);
        let settings = CorsSettings {
            origins,
            methods: self.methods(credentials, rule),
            headers: self.headers("headers", credentials),
            exposed_headers: self.headers("exposed_headers", credentials),
            credentials,
            max_age: self.one("max_age", values::duration),
        };
        Some(Cors::new(settings))
    }

    fn one<T>(&mut self, member: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let read = match self.members.get(member)? {
            Node::Text(text) => parse(text),
            Node::Null | Node::List(_) | Node::Map(_) => Err("must be one value".to_owned()),
        };
        read.map_err(|message| self.problem(member, message)).ok()
    }

    /// The texts of a list, which may be a single one.
    fn list(&mut self, member: &str) -> Option<Vec<String>> {
        let text_of = |member: &Node| match member {
            Node::Text(text) => Some(text.clone()),
            Node::Null | Node::List(_) | Node::Map(_) => None,
        };
        let list = match self.members.get(member)? {
            Node::Text(text) => Some(values::list(text)),
            Node::List(members) => members.iter().map(text_of).collect(),
            Node::Null | Node::Map(_) => None,
        };
        if list.is_none() {
            self.problem(member, "must be a list of texts like [\"one\", \"two\"]");
        }
        list
    }

    fn origins(&mut self, credentials: bool) -> Vec<OriginPattern> {
        let given = self.list("origins").unwrap_or_default();
        if given.is_empty() {
            self.problem("origins", "is required, and names the origins whose scripts may use the route");
        }
        let mut origins = Vec::new();
        for text in given {
            match OriginPattern::parse(&text) {
                Ok(pattern) if credentials && pattern.is_everybodys() => self.problem(
                    "origins",
                    format!(
                        "names {text}, an origin that every site's page can have, together with credentials: every site could do \
                         what the user may do here"
                    ),
                ),
                Ok(pattern) => origins.push(pattern),
                Err(message) => self.problem("origins", format!("names {text}, which {message}")),
            }
        }
        origins
    }

    fn methods(&mut self, credentials: bool, rule: &Rule) -> Allowed<Method> {
        let Some(names) = self.list("methods") else {
            let usual = || vec![Method::GET, Method::HEAD, Method::POST];
            return Allowed::Only(if rule.methods.is_empty() { usual() } else { rule.methods.clone() });
        };
        let named = names.iter().filter(|name| *name != STAR);
        let methods = named.map(|name| Method::from_bytes(name.to_ascii_uppercase().as_bytes())).collect::<Result<Vec<_>, _>>();
        let Ok(methods) = methods else {
            self.problem("methods", "must be methods like GET");
            return Allowed::default();
        };
        let refused = methods.iter().find(|method| !rule.methods.is_empty() && !rule.methods.contains(*method));
        if let Some(refused) = refused {
            self.problem("methods", format!("names {refused}, which the route does not take (methods)"));
        }
        self.allowed("methods", &names, methods, credentials)
    }

    fn headers(&mut self, member: &str, credentials: bool) -> Allowed<HeaderName> {
        let names = self.list(member).unwrap_or_default();
        let named = names.iter().filter(|name| *name != STAR);
        match named.map(|name| HeaderName::from_bytes(name.as_bytes())).collect::<Result<Vec<_>, _>>() {
            Ok(headers) => self.allowed(member, &names, headers, credentials),
            Err(_) => {
                self.problem(member, "must be names of headers");
                Allowed::default()
            }
        }
    }

    fn allowed<T>(&mut self, member: &str, names: &[String], named: Vec<T>, credentials: bool) -> Allowed<T> {
        if !names.iter().any(|name| name == STAR) {
            return Allowed::Only(named);
        }
        if credentials {
            self.problem(member, "has a *, which browsers take for a name where credentials are allowed; name each");
        }
        Allowed::Any(named)
    }
}
