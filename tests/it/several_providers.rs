//! Several providers at one gateway: where users log in, and that what happens at one does not concern the others.

mod addresses;
mod attacks;
mod identity;
mod remembered;
mod routes;
mod shared_login;
mod tokens;

use std::{sync::Arc, time::Duration};

use evergate::clock::Clock;
use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{
    Builder, Kind, World,
    eventually::eventually,
    faults::FaultProxy,
    idp::{CLIENT_ID, CLIENT_SECRET, Endpoint, Idp, Misbehaviour, user},
    visitor::{Reply, Visitor, path_of},
};

const EXPIRED: Duration = Duration::from_secs(301);

/// A world with the provider of the environment, `default`, and one of a table, `partners`.
struct Both {
    world: World,
    partners: Arc<Idp>,
    _line: FaultProxy,
}

impl Both {
    async fn start() -> Self {
        Self::with("", "").await
    }

    /// With more keys in the table of the provider, and further tables.
    async fn with(keys: &str, tables: &str) -> Self {
        Self::of(World::build(), keys, tables).await
    }

    async fn of(builder: Builder, keys: &str, tables: &str) -> Self {
        Self::prepared(builder, keys, tables, |_, _| {}).await
    }

    /// Prepares both providers before the gateways see them.
    async fn prepared(builder: Builder, keys: &str, tables: &str, prepare: impl FnOnce(&Idp, &Idp)) -> Self {
        let (clock, line) = (Clock::manual(), FaultProxy::start().await);
        let partners = Idp::start(&line.url(), clock.clone()).await;
        line.forward_to(partners.address);
        let file = table("partners", partners.issuer(), keys) + tables;
        let others = Arc::clone(&partners);
        let world =
            builder.by(clock).routes(move |app| file.replace("{app}", app)).start_with(move |own| prepare(own, &others)).await;
        Self { world, partners, _line: line }
    }

    /// A browser that has logged in at the provider of the environment.
    async fn of_default(&self) -> Visitor {
        self.log_in("default", &self.world.idp).await
    }

    /// A browser that has logged in at the other one.
    async fn of_partners(&self) -> Visitor {
        self.log_in("partners", &self.partners).await
    }

    async fn log_in(&self, name: &str, idp: &Idp) -> Visitor {
        let visitor = self.world.visitor();
        visitor.log_in(idp, &format!("/oauth2/start?provider={name}&rd=/")).await;
        visitor
    }
}

/// A `[[provider]]` table.
fn table(name: &str, issuer: &str, keys: &str) -> String {
    format!(
        "[[provider]]\nname = \"{name}\"\noidc_issuer_url = \"{issuer}\"\noidc_client_id = \"{CLIENT_ID}\"\n\
         oidc_client_secret = \"{CLIENT_SECRET}\"\noidc_group_field = \"groups\"\n{keys}\n\n"
    )
}

/// The addresses of a page's links.
fn links(page: &Reply) -> Vec<String> {
    let text = page.text();
    text.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap().replace("&amp;", "&")).collect()
}

#[tokio::test]
async fn users_choose_where_they_log_in_and_are_renewed_there() {
    let both = Both::with("text = \"Partners & friends\"", "").await;
    let visitor = both.world.visitor();
    let to_choose = visitor.get("/page?x=1").await.location();
    assert_eq!(path_of(&to_choose), "/oauth2/start?rd=%2Fpage%3Fx%3D1");
    let page = visitor.get(&path_of(&to_choose)).await;
    assert_eq!((page.status, page.header("evergate-response")), (StatusCode::OK, "choose_provider"));
    assert!(page.text().contains("Partners &amp; friends") && page.text().contains(">127.0.0.1:"), "{}", page.text());
    let request = visitor.get(&links(&page)[1]).await.location();
    assert!(request.as_str().starts_with(both.partners.issuer()), "{request}");
    let redirect_uri = request.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1;
    assert_eq!(redirect_uri, "https://app.test/oauth2/callback/partners", "a redirect URI of its own");
    let landed = visitor.get(&path_of(&both.partners.authorize(&request).await)).await.location();
    assert_eq!(path_of(&landed), "/page?x=1");
    assert!(visitor.get("/page").await.is_upstreams());
    let other = both.of_default().await;
    both.world.clock.advance(EXPIRED);
    for visitor in [&visitor, &other] {
        assert!(visitor.fetch("/").await.is_upstreams());
    }
    assert_eq!((both.world.idp.calls(Endpoint::Refresh), both.partners.calls(Endpoint::Refresh)), (1, 1), "each at its own");
}

#[tokio::test]
async fn an_outage_of_one_provider_does_not_touch_the_users_of_the_other() {
    let both = Both::of(World::build().on(Kind::Postgres), "", "").await;
    let (ours, theirs) = (both.of_default().await, both.of_partners().await);
    both.world.clock.advance(EXPIRED);
    both.partners.misbehave(Endpoint::Refresh, Misbehaviour::Answer(503, String::new(), vec![("retry-after", "60")]));
    both.partners.misbehave(Endpoint::Probe, Misbehaviour::Answer(503, String::new(), vec![("retry-after", "60")]));
    for _ in 0..4 {
        let served = theirs.fetch("/").await;
        assert!(served.is_upstreams(), "within the grace: {}", served.text());
        both.world.clock.advance(Duration::from_secs(61));
    }
    assert!(ours.fetch("/").await.is_upstreams());
    assert_eq!(both.world.idp.calls(Endpoint::Refresh), 1, "its circuit breaker is closed");
    let metrics = both.world.replicas[0].metrics.render().unwrap();
    for line in [
        "evergate_provider_outage{provider=\"default\"} 0",
        "evergate_provider_outage{provider=\"partners\"} 1",
        "evergate_renewals_total{provider=\"default\",outcome=\"ok\",reason=\"rotated\"} 1",
        "evergate_renewals_total{provider=\"partners\",outcome=\"ok\",reason=\"rotated\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    assert_eq!(both.world.visitor().get("/oauth2/readyz").await.status, StatusCode::OK);
    both.of_default().await;
    for endpoint in [Endpoint::Refresh, Endpoint::Probe] {
        both.partners.behave(endpoint);
    }
    both.world.clock.advance(Duration::from_secs(61));
    eventually("the other's users are renewed again", async || {
        theirs.fetch("/").await.is_upstreams() && both.partners.presented_and_renewed().1 == 1
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_keeps_nobody_from_the_others() {
    let both = Both::prepared(World::build().without_provider(), "", "", |_, partners| {
        partners.set_metadata(json!({"issuer": "https://somebody.else"}));
    })
    .await;
    eventually("the first provider is found", async || {
        let state = both.world.visitor().get("/oauth2/readyz").await.json();
        state["providers"]["default"]["provider"] == "ok" && state["providers"]["partners"]["provider_error"] == "configuration"
    })
    .await;
    let ready = both.world.visitor().get("/oauth2/readyz").await;
    assert_eq!((ready.status, ready.json()["provider"].as_str()), (StatusCode::OK, Some("not_reached")));
    both.of_default().await;
    let refused = both.world.visitor().get("/oauth2/start?provider=partners&rd=/").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn sessions_of_the_only_provider_go_on_when_another_is_added_and_nothing_is_migrated() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut world = World::build().on(kind).routes(|_| String::new()).start().await;
        let visitor = world.signed_in().await;
        let line = FaultProxy::start().await;
        let partners = Idp::start(&line.url(), world.clock.clone()).await;
        line.forward_to(partners.address);
        std::fs::write(world.settings_file(), table("partners", partners.issuer(), "")).unwrap();
        world.restart_with(&[]).await;
        let visitor = visitor.at(world.address());
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams(), "as before");
        assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
        // And back again: the other's users log in at what is left, and their tokens are shown to nobody.
        let other = world.visitor();
        other.log_in(&partners, "/oauth2/start?provider=partners&rd=/").await;
        assert!(other.get("/").await.is_upstreams());
        std::fs::write(world.settings_file(), "").unwrap();
        world.restart_with(&[]).await;
        let other = other.at(world.address());
        world.clock.advance(EXPIRED);
        let sent = other.get("/").await.location();
        assert!(sent.as_str().starts_with(world.idp.issuer()), "{sent}");
        assert_eq!((world.idp.presented_and_renewed(), partners.presented_and_renewed()), ((1, 1), (0, 0)), "{kind:?}");
    }
}

#[tokio::test]
async fn a_login_at_a_provider_of_a_table_alone_needs_no_choice() {
    let (clock, line) = (Clock::manual(), FaultProxy::start().await);
    let only = Idp::start(&line.url(), clock.clone()).await;
    line.forward_to(only.address);
    let file = table("only", only.issuer(), "");
    let world = ["oidc_issuer_url", "oidc_client_id", "oidc_client_secret", "oidc_group_field"]
        .into_iter()
        .fold(World::build(), Builder::without)
        .by(clock)
        .routes(move |_| file.clone())
        .start()
        .await;
    let visitor = world.visitor();
    assert_eq!(path_of(&visitor.log_in(&only, "/page").await), "/page");
    assert!(visitor.get("/").await.is_upstreams());
    eventually("its metrics have no label, as one needs none", async || {
        world.replicas[0].metrics.render().unwrap().contains("evergate_provider_ready 1\n")
    })
    .await;
}

#[tokio::test]
async fn a_logout_leads_to_the_provider_of_the_session() {
    let both = Both::start().await;
    for (visitor, idp) in [(both.of_default().await, &both.world.idp), (both.of_partners().await, &both.partners)] {
        let out = visitor.send(http::Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")], "").await;
        assert!(out.location().as_str().starts_with(idp.issuer()), "{:?}", out.headers);
        eventually("its refresh token is revoked there", async || idp.revoked().len() == 1).await;
    }
    let nobody =
        both.world.visitor().send(http::Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")], "").await;
    assert_eq!(nobody.status, StatusCode::OK, "nobody knows at which of them to log out");
}

#[tokio::test]
async fn the_claims_and_the_policy_of_a_provider_are_for_its_own_users() {
    let both = Both::with("oidc_allowed_groups = [\"partners\"]\noidc_username_field = \"nick\"", "").await;
    both.partners.log_in_as(user("bob"));
    let visitor = both.world.visitor();
    let request = visitor.get("/oauth2/start?provider=partners").await.location();
    let denied = visitor.get(&path_of(&both.partners.authorize(&request).await)).await;
    assert_eq!((denied.status, denied.header("evergate-response")), (StatusCode::FORBIDDEN, "access_denied"));
    let mut partner = user("pat");
    partner["groups"] = json!(["partners"]);
    partner["nick"] = json!("patty");
    both.partners.log_in_as(partner);
    assert!(both.of_partners().await.get("/").await.is_upstreams());
    assert_eq!(both.world.upstream.last().header("x-forwarded-preferred-username"), Some("patty"));
    assert!(both.of_default().await.get("/").await.is_upstreams(), "whose groups are staff");
    assert_eq!(both.world.upstream.last().header("x-forwarded-preferred-username"), Some("ann"));
}

#[tokio::test]
async fn check_looks_at_every_provider_and_the_doctor_names_those_that_it_could_examine() {
    let both = Both::start().await;
    let (_, printed) = both.world.command(&["check", "--json"]).await;
    let findings: Vec<Value> = serde_json::from_str(&printed).unwrap();
    for (name, issuer, callback) in [
        ("default", both.world.idp.issuer(), "https://app.test/oauth2/callback"),
        ("partners", both.partners.issuer(), "https://app.test/oauth2/callback/partners"),
    ] {
        let found = |check: &str| {
            let is_it = |finding: &&Value| finding["provider"] == name && finding["check"] == check;
            findings.iter().find(is_it).unwrap_or_else(|| panic!("{check} of {name}: {printed}"))
        };
        assert!(found("provider")["seen"].as_str().unwrap().starts_with(issuer), "{printed}");
        assert_eq!((&found("client")["level"], &found("provider")["level"]), (&json!("ok"), &json!("ok")), "{printed}");
        assert!(found("redirect URIs")["seen"].as_str().unwrap().ends_with(&format!(": {callback}")), "{printed}");
    }
    let (_, printed) = both.world.command(&["check"]).await;
    assert!(printed.contains(&format!("partners: {} has metadata", both.partners.issuer())), "{printed}");
    let (code, said) = both.world.command(&["doctor", "--provider", "nobody"]).await;
    assert!(code != 0 && said.contains("the providers are default, partners"), "{code} {said}");
    let (code, said) = both.world.command(&["doctor", "--html", "/nowhere"]).await;
    assert!(code != 0 && said.contains("name it with --provider"), "{code} {said}");
}
