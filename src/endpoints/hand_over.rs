//! `hand_over` and `handed_over`: the session of the login site becomes one of another site (`CODER_SHARED_LOGIN`).

use axum::body::Body;
use http::Response;

use super::{Call, Endpoints, Refused, login::browser_of};
use crate::{
    admission::{Inquiry, NotAdmitted},
    policy::Denied,
    refusal::{Refusal, response::redirect},
};

impl Endpoints {
    /// Sends a browser that comes from another site back there, with a code for its session here. One without a session logs in
    /// first.
    pub(super) async fn hand_over(&self, call: Call<'_>) -> Result<Response<Body>, Refused> {
        let (logins, admission) = (self.components.sign_ins.parts(), &self.components.admission);
        if self.is_not_a_page(call.headers) {
            return Err(Refusal::NavigationRequired.into());
        }
        let request = logins.hand_over_request(&call.exchange.site, call.query).map_err(Refusal::from)?;
        let own_page = logins.hand_over_page(&request);
        let refused = |refusal| Refused { return_to: Some(own_page.clone()), ..Refused::from(refusal) };
        if call.flag("another") || call.login_hint().is_some() {
            return self.begin(&call, own_page).await;
        }
        let chosen = self.named_provider(&call)?.map(|sign_in| sign_in.provider.name().to_owned());
        let providers = chosen.as_ref().map_or_else(|| request.providers().to_vec(), |name| vec![name.clone()]);
        let mut rule = self.everybody.clone();
        rule.providers = providers;
        let inquiry = Inquiry::about_a_login(call.exchange, call.headers, &rule);
        match admission.admit_session(inquiry).await {
            Ok(admitted) => {
                let signed_in = admitted.signed_in();
                admission.visitors.touch(signed_in);
                Ok(redirect(&logins.hand_over(&request, signed_in.session().hash), "hand_over"))
            }
            Err(NotAdmitted::SignIn(reason, grant)) => {
                Err(refused(admission.send_to_login(call.exchange, call.headers, &rule, reason, grant).await))
            }
            // The user has said which, and is signed in at another.
            Err(NotAdmitted::Refused(Refusal::Denied(Denied::Provider, _))) if chosen.is_some() => {
                self.begin(&call, own_page).await
            }
            Err(NotAdmitted::Refused(refusal)) => Err(refused(refusal)),
        }
    }

    /// Receives the browser that the login site sends back, and gives it a session of this site's own.
    pub(super) async fn handed_over(&self, call: Call<'_>) -> Result<Response<Body>, Refused> {
        if self.is_not_a_page(call.headers) {
            return Err(Refusal::NavigationRequired.into());
        }
        match self.components.sign_ins.parts().complete_hand_over(browser_of(&call), call.query).await {
            Ok(to) => {
                self.components.admission.visitors.forget(call.headers);
                Ok(redirect(&to, "signed_in"))
            }
            Err(failed) => self.after_failed_login(failed, &call).await,
        }
    }
}
