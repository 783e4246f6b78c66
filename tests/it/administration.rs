//! Administration: its pages, its API, the command line beside them, and those who would like to be administrators.

mod api;
mod attacks;
mod ends;
mod gone;
mod health;
mod listener;
mod lost_grants;
mod names;
mod pages;
mod recorded;
mod whose_end;

use evergate::clock::Timestamp;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{
    Builder, Kind, World,
    idp::user,
    visitor::{Reply, Visitor},
};

const PAGE: &str = "/oauth2/admin";
const API: &str = "/oauth2/admin/api/v1";
/// What a browser says of a form of a page with an origin of its own.
const FORM: [(&str, &str); 5] = [
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
    ("accept", "text/html"),
    ("content-type", "application/x-www-form-urlencoded"),
];

/// Somebody in this group.
fn member(name: &str, group: &str) -> Value {
    let mut person = user(name);
    person["groups"] = json!([group]);
    person
}

fn administered() -> Builder {
    World::build().set("admin_groups", "root")
}

/// A browser of this person's that has logged in.
async fn browser(world: &World, person: Value) -> Visitor {
    let visitor = Visitor::of(world.address(), person);
    visitor.log_in(&world.idp, "/").await;
    visitor
}

async fn administrator(world: &World) -> Visitor {
    browser(world, member("ann", "root")).await
}

/// What a page puts into its forms under this name, each time.
fn fields<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let marker = format!("name=\"{name}\" value=\"");
    page.split(marker.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// Sends a form of a page as its browser does: without the cookie, because the page has an origin of its own.
async fn send(visitor: &Visitor, path: &str, form: &str) -> Reply {
    visitor.without_cookies().send(Method::POST, path, &FORM, form).await
}

/// Fills in a form of this page, and follows where that leads.
async fn act(visitor: &Visitor, path: &str, field: &str) -> String {
    let page = visitor.get(path).await.text();
    let sent = send(visitor, path, &format!("seal={}&{field}", fields(&page, "seal")[0])).await;
    let location = sent.location();
    visitor.get(&format!("{}?{}", location.path(), location.query().unwrap())).await.text()
}

/// The path of the grant's page of the first one who is found by a name.
async fn grant_page(administrator: &Visitor, name: &str) -> String {
    let text = administrator.get(&format!("{PAGE}?name={name}")).await.text();
    let found = text.split("href=\"/oauth2/admin/grants/").nth(1).unwrap_or_else(|| panic!("{name} is not found: {text}"));
    format!("{PAGE}/grants/{}", found.split('"').next().unwrap())
}

/// A personal access token of this user's, with these further fields of the form.
pub async fn token(visitor: &Visitor, more: &str) -> Reply {
    let page = visitor.get("/oauth2/tokens").await.text();
    let form = format!("seal={}&name=script{more}", fields(&page, "seal").first().unwrap_or(&"none"));
    send(visitor, "/oauth2/tokens", &form).await
}

pub fn told(made: &Reply) -> String {
    made.text().split("<code>").nth(1).unwrap().split('<').next().unwrap().to_owned()
}

/// A program with a token for the administration.
struct Program {
    visitor: Visitor,
    authorization: String,
}

impl Program {
    async fn of(administrator: &Visitor) -> Self {
        let made = told(&token(administrator, "&route=administration").await);
        Self { visitor: administrator.without_cookies(), authorization: format!("Bearer {made}") }
    }

    async fn ask(&self, method: Method, path: &str, body: &str) -> Reply {
        let lines = [("authorization", self.authorization.as_str()), ("content-type", "application/json")];
        self.visitor.send(method, &format!("{API}{path}"), &lines, body).await
    }

    async fn get(&self, path: &str) -> Value {
        let reply = self.ask(Method::GET, path, "").await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text());
        reply.json()
    }
}

/// What administrators did, as the command line tells it: what, with which outcome, by whom.
async fn audit(world: &World) -> Vec<[String; 3]> {
    let (code, text) = world.command(&["sessions", "audit", "--json"]).await;
    assert_eq!(code, 0, "{text}");
    let audit: Value = serde_json::from_str(&text).unwrap();
    let text = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let events = audit["events"].as_array().unwrap().iter();
    events.map(|event| ["reason", "outcome", "detail"].map(|name| text(event, name))).collect()
}

/// Whether this is a time of the present, in seconds.
fn is_about(seconds: &Value, at: Timestamp) -> bool {
    seconds.as_i64().is_some_and(|seconds| (seconds - at.seconds()).abs() < 3600)
}

fn both() -> [Kind; 2] {
    [Kind::Sqlite, Kind::Postgres]
}
