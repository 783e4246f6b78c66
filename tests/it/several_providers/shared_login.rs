//! One login for all sites, at several providers.

use http::{Method, StatusCode};
use url::Url;

use super::{Both, links};
use crate::harness::{
    World,
    idp::Idp,
    visitor::{Reply, Visitor, path_of},
};

const ROUTES: &str = "[[route]]\nhost = \"docs.test\"\n\n[[route]]\nhost = \"partners.test\"\nproviders = [\"partners\"]\n\n";
const NAVIGATION: [(&str, &str); 4] =
    [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("sec-fetch-site", "none")];

/// A browser, with the cookies of each host.
struct Browser {
    jars: std::collections::BTreeMap<String, Visitor>,
    address: std::net::SocketAddr,
}

impl Browser {
    fn of(both: &Both) -> Self {
        Self { jars: Default::default(), address: both.world.address() }
    }

    /// Goes to `url`, through the providers and from site to site, until a page comes; also returns where that is.
    async fn go(&mut self, url: &str, providers: &[&Idp]) -> (Url, Reply) {
        let mut url = Url::parse(url).unwrap();
        for _ in 0..20 {
            if let Some(idp) = providers.iter().find(|idp| url.as_str().starts_with(idp.issuer())) {
                url = idp.authorize(&url).await;
                continue;
            }
            let host = url.host_str().unwrap().to_owned();
            let address = self.address;
            let jar = self.jars.entry(host.clone()).or_insert_with(|| Visitor::new(address).on_host(&host));
            let reply = jar.send(Method::GET, &path_of(&url), &[&NAVIGATION[..], &[("host", &host)]].concat(), "").await;
            if reply.status != StatusCode::SEE_OTHER {
                return (url, reply);
            }
            url = reply.location();
        }
        panic!("the browser was sent round in circles");
    }
}

#[tokio::test]
async fn users_choose_at_the_login_site_once_for_all_sites() {
    let both = Both::of(World::build().set("shared_login", "true"), "", ROUTES).await;
    let providers = [&*both.world.idp, &*both.partners];
    let mut browser = Browser::of(&both);
    let (at, page) = browser.go("https://docs.test/page", &providers).await;
    assert_eq!((at.host_str(), page.header("evergate-response")), (Some("app.test"), "choose_provider"));
    let chosen = links(&page).into_iter().find(|link| link.contains("provider=default")).unwrap();
    let (at, page) = browser.go(&format!("https://app.test{chosen}"), &providers).await;
    assert!(at.as_str() == "https://docs.test/page" && page.is_upstreams(), "{at} {}", page.text());
    let (at, page) = browser.go("https://app.test/", &providers).await;
    assert!(at.as_str() == "https://app.test/" && page.is_upstreams(), "no choice any more: {at}");
    // A site for the other provider's users says so, and leads there.
    let (at, page) = browser.go("https://partners.test/page", &providers).await;
    assert_eq!((at.host_str(), page.status), (Some("app.test"), StatusCode::FORBIDDEN), "{}", page.text());
    let (at, page) = browser.go(&links(&page)[0], &providers).await;
    assert!(at.as_str() == "https://partners.test/page" && page.is_upstreams(), "{at} {}", page.text());
    assert_eq!(both.partners.prompts(), 1);
}

#[tokio::test]
async fn a_login_leads_on_from_a_login_site_that_serves_no_app() {
    let routes = "[[route]]\nhost = \"docs.test\"\nupstream = \"{app}\"\n\n";
    let both = Both::of(World::build().set("shared_login", "true").without("upstream_url"), "", routes).await;
    let providers = [&*both.world.idp, &*both.partners];
    for to in ["https://docs.test/page", "https://app.test/oauth2/sessions"] {
        let mut browser = Browser::of(&both);
        let (at, page) = browser.go(to, &providers).await;
        let page = match page.header("evergate-response") {
            "sign_in_required" => browser.go(at.join(&links(&page)[0]).unwrap().as_str(), &providers).await.1,
            _ => page,
        };
        assert_eq!(page.header("evergate-response"), "choose_provider", "{to}");
        let chosen = links(&page).into_iter().find(|link| link.contains("provider=default")).unwrap();
        let (at, page) = browser.go(&format!("https://app.test{chosen}"), &providers).await;
        assert_eq!((at.as_str(), page.status), (to, StatusCode::OK));
    }
}

#[tokio::test]
async fn a_site_for_one_provider_s_users_needs_no_choice() {
    let both = Both::of(World::build().set("shared_login", "true"), "", ROUTES).await;
    let mut browser = Browser::of(&both);
    let (at, page) = browser.go("https://partners.test/page", &[&both.world.idp, &both.partners]).await;
    assert!(at.as_str() == "https://partners.test/page" && page.is_upstreams(), "{at} {}", page.text());
    assert_eq!((both.world.idp.prompts(), both.partners.prompts()), (0, 1));
}
