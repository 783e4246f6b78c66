//! Judges a request by its route: whose it is, and whether it may pass.

use tracing::Instrument;

use super::{Gateway, Judged, route_request::RouteRequest};
use crate::{
    admission::{Admission, Inquiry, NotAdmitted},
    refusal::Refusal,
    telemetry::traces::SPANS,
};

impl Gateway {
    /// Judges a request by its route. Whoever must sign in is told where.
    pub(super) async fn judge_or_refuse(&self, request: RouteRequest<'_>) -> Result<Judged, Refusal> {
        match self.judge(request).await {
            Ok(judged) => Ok(judged),
            Err(NotAdmitted::SignIn(reason, grant)) => {
                let RouteRequest { exchange, route, headers, .. } = request;
                Err(Box::pin(self.parts.admission.refuse_unauthenticated(exchange, headers, &route.rule, (reason, grant))).await)
            }
            Err(NotAdmitted::Refused(refusal)) => Err(refusal),
        }
    }

    /// Judges a request by its route.
    pub(super) async fn judge(&self, request: RouteRequest<'_>) -> Result<Judged, NotAdmitted> {
        match &self.parts.tracer {
            None => self.judge_by_rule(request).await,
            Some(_) => {
                let span = tracing::trace_span!(target: SPANS, "authorize");
                Box::pin(self.judge_by_rule(request).instrument(span)).await
            }
        }
    }

    async fn judge_by_rule(&self, request: RouteRequest<'_>) -> Result<Judged, NotAdmitted> {
        let RouteRequest { exchange, memo, route, headers, has_no_body } = request;
        let (rule, admission) = (&route.rule, &self.parts.admission);
        // Where the route has a CORS policy, its preflights were judged by that.
        if route.cors.is_none()
            && let Some(asked) = admission.cross_origin.preflight(&exchange.method, headers)
            && has_no_body
        {
            return Ok(Judged::Preflight(rule.permit_preflight(exchange.origin.client, &asked, headers).map_err(Refusal::from)?));
        }
        rule.takes(exchange.origin.client, &exchange.method, headers).map_err(Refusal::from)?;
        Admission::refuse_misplaced_token(rule, headers)?;
        if let Some(permit) = rule.permit_anybody() {
            return Ok(Judged::Anybody(permit));
        }
        match admission.admit(Inquiry::for_route(exchange, headers, route, memo)).await {
            Ok(admitted) => Ok(Judged::User(admitted)),
            // Who brings a token is somebody, and is told why it does not let them in; the app never sees it.
            Err(not_admitted)
                if let Some(permit) = rule.permit_anonymous()
                    && not_admitted.is_of_nobody()
                    && !Admission::brings_token(rule, headers) =>
            {
                Ok(Judged::Anybody(permit))
            }
            Err(not_admitted) => Err(not_admitted),
        }
    }
}
