//! A browser that keeps the cookies of each host apart.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use http::{Method, StatusCode};
use url::Url;

use crate::harness::{
    World,
    idp::Idp,
    visitor::{Reply, Visitor, path_of},
};

const NAVIGATION: [(&str, &str); 4] =
    [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("sec-fetch-site", "none")];
const SCRIPT: [(&str, &str); 3] = [("accept", "*/*"), ("sec-fetch-mode", "cors"), ("sec-fetch-site", "same-origin")];

#[derive(Clone)]
pub(super) struct Browser {
    idp: Arc<Idp>,
    address: SocketAddr,
    hosts: Arc<Mutex<BTreeMap<String, Visitor>>>,
    way: Arc<Mutex<Vec<String>>>,
}

impl Browser {
    pub(super) fn new(world: &World) -> Self {
        Self { idp: Arc::clone(&world.idp), address: world.address(), hosts: Arc::default(), way: Arc::default() }
    }

    /// The same browser, its requests reaching another replica.
    pub(super) fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    fn visitor(&self, host: &str) -> Visitor {
        let mut hosts = self.hosts.lock().unwrap();
        hosts.entry(host.to_owned()).or_insert_with(|| Visitor::new(self.address)).at(self.address)
    }

    /// The session cookie that it has for a host.
    pub(super) fn session(&self, host: &str) -> Option<String> {
        self.visitor(host).session()
    }

    pub(super) fn set_cookie(&self, host: &str, name: &str, value: &str) {
        self.visitor(host).set_cookie(name, value);
    }

    pub(super) async fn send(&self, host: &str, method: Method, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.visitor(host).send(method, path, &[headers, &[("host", host)]].concat(), "").await
    }

    /// Navigates, and follows no redirect.
    pub(super) async fn get(&self, host: &str, path: &str) -> Reply {
        self.send(host, Method::GET, path, &NAVIGATION).await
    }

    /// Asks as a page's script does.
    pub(super) async fn fetch(&self, host: &str, path: &str) -> Reply {
        self.send(host, Method::GET, path, &SCRIPT).await
    }

    /// Follows one redirect, through the provider if it leads there.
    pub(super) async fn follow(&self, to: &Url) -> Reply {
        let to = if to.as_str().starts_with(self.idp.issuer()) {
            self.way.lock().unwrap().push("the provider".to_owned());
            self.idp.authorize(to).await
        } else {
            to.clone()
        };
        let host = to.host_str().unwrap().to_owned();
        self.way.lock().unwrap().push(host.clone());
        self.get(&host, &path_of(&to)).await
    }

    /// Goes to a page until there are no more redirects.
    pub(super) async fn browse(&self, host: &str, path: &str) -> Reply {
        self.way.lock().unwrap().clear();
        self.way.lock().unwrap().push(host.to_owned());
        let mut reply = self.get(host, path).await;
        for _ in 0..16 {
            if reply.status != StatusCode::SEE_OTHER {
                return reply;
            }
            reply = self.follow(&reply.location()).await;
        }
        panic!("the browser was sent round in circles: {:?}", self.way.lock().unwrap());
    }

    /// The hosts that it was at during the last [`Browser::browse`].
    pub(super) fn hosts_on_the_way(&self) -> Vec<String> {
        self.way.lock().unwrap().clone()
    }
}
