//! `hand_over` and `handed_over`: the session of the login site becomes one of another site (`CODER_SHARED_LOGIN`).

use axum::body::Body;
use http::Response;

use super::{Call, Endpoints, Refused, login::browser_of};
use crate::{
    admission::{Inquiry, NotAdmitted},
    refusal::{Refusal, response::redirect},
    sign_in::Purpose,
};

impl Endpoints {
    /// Sends a browser that comes from another site back there, with a code for its session here. One without a session logs in
    /// first.
    pub(super) async fn hand_over(&self, call: Call<'_>) -> Result<Response<Body>, Refused> {
        let (sign_in, admission) = (self.components.sign_ins.first(), &self.components.admission);
        if self.is_not_a_page(call.headers) {
            return Err(Refusal::NoPage.into());
        }
        let request = sign_in.hand_over_request(&call.exchange.site, call.query).map_err(Refusal::from)?;
        let own_page = sign_in.hand_over_page(&request);
        let hint = call.login_hint();
        let purpose = match &hint {
            _ if call.flag("another") => Some(Purpose::AnotherAccount),
            Some(hint) => Some(Purpose::LoginOf(hint)),
            None => None,
        };
        let refused = |refusal| Refused { return_to: Some(own_page.clone()), ..Refused::from(refusal) };
        if let Some(purpose) = purpose {
            let begun = sign_in.begin(browser_of(&call), &own_page, purpose).await;
            return begun.map(|to| redirect(&to, "sign_in")).map_err(|error| refused(Refusal::ProviderUnavailable(error)));
        }
        let inquiry = Inquiry::about_a_login(call.exchange, call.headers, &self.everybody);
        match admission.admit_session(inquiry).await {
            Ok(admitted) => {
                let signed_in = admitted.signed_in();
                admission.visitors.touch(signed_in);
                Ok(redirect(&sign_in.hand_over(&request, signed_in.session.session.hash), "hand_over"))
            }
            Err(NotAdmitted::SignIn(reason, grant)) => {
                Err(refused(admission.send_to_login(call.exchange, call.headers, reason, grant).await))
            }
            Err(NotAdmitted::Refused(refusal)) => Err(refused(refusal)),
        }
    }

    /// Receives the browser that the login site sends back, and gives it a session of this site's own.
    pub(super) async fn handed_over(&self, call: Call<'_>) -> Result<Response<Body>, Refused> {
        if self.is_not_a_page(call.headers) {
            return Err(Refusal::NoPage.into());
        }
        match self.components.sign_ins.first().complete_hand_over(browser_of(&call), call.query).await {
            Ok(to) => {
                self.components.admission.visitors.forget(call.headers);
                Ok(redirect(&to, "signed_in"))
            }
            Err(failed) => self.after_failed_login(failed, &call).await,
        }
    }
}
