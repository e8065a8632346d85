//! Who signs requests to AWS, and for which region: the configuration, else the environment, else the instance itself.
//!
//! Of the usual chain these are the parts that a machine on EC2 has; the shared credentials file and the web identities of
//! Kubernetes are not read.

use std::sync::Arc;
use std::time::Duration;

use ::http::{Method, Request, StatusCode};
use bytes::Bytes;
use cairn_http::client::Client;
use cairn_http::client::secret::Secret;
use serde::Deserialize;

use super::aws_query::{Api, amz_time, child_text, parse};
use super::aws_sign::Keys;
use super::http::with_cause;
use crate::scrape::schedule::now_ms;
use crate::version;

/// The instance metadata service answers at once or not at all.
const IMDS_TIMEOUT: Duration = Duration::from_secs(5);
const IMDS_ENDPOINT: &str = "http://169.254.169.254";
const IMDS_MAX_BODY: usize = 64 * 1024;
/// Seconds that a session with the metadata service lasts; one is opened for each need.
const IMDS_SESSION: &str = "60";
/// Temporary keys are renewed so long before they end.
const RENEWED_BEFORE_MS: i64 = 300_000;

/// Reads an environment variable; tests have their own.
pub(super) type Env = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Where keys come from.
pub(super) struct CredentialChain {
    configured: Option<Keys>,
    /// A role to take on with those keys, and what its owner asks for.
    role: Option<(String, Option<String>)>,
    env: Env,
    imds: Client,
    /// Temporary keys and the time at which they end, `20150830T123600Z`.
    temporary: Option<(Keys, String)>,
    /// The same for the role.
    of_role: Option<(Keys, String)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoleKeys {
    access_key_id: String,
    secret_access_key: String,
    token: String,
    expiration: String,
}

impl CredentialChain {
    pub(super) fn new(configured: Option<Keys>, role: Option<(String, Option<String>)>, env: Env) -> Self {
        // Not through a proxy: the service is the machine's own.
        let imds = Client::new(version::USER_AGENT);
        Self { configured, role, env, imds, temporary: None, of_role: None }
    }

    /// A variable that is set to something.
    pub(super) fn var(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    /// The region of the environment or of the instance.
    ///
    /// # Errors
    /// Neither says one.
    pub(super) async fn region(&self) -> Result<String, String> {
        if let Some(region) = self.var("AWS_REGION").or_else(|| self.var("AWS_DEFAULT_REGION")) {
            return Ok(region);
        }
        self.imds("/latest/meta-data/placement/region").await.map_err(|error| {
            format!(
                "EC2 SD configuration requires a region: none is set, and the instance names none: {error}"
            )
        })
    }

    /// Keys that hold for a while yet.
    ///
    /// # Errors
    /// Nobody has any.
    pub(super) async fn keys(&mut self, client: &Client, region: &str) -> Result<Keys, String> {
        let Some((arn, external_id)) = self.role.clone() else { return self.own_keys().await };
        if let Some(keys) = holding(self.of_role.as_ref()) {
            return Ok(keys);
        }
        let own = self.own_keys().await?;
        let endpoint = self
            .var("AWS_ENDPOINT_URL_STS")
            .unwrap_or_else(|| format!("https://sts.{region}.{}", domain(region)));
        let api = Api { client, endpoint: &endpoint, region, service: "sts", keys: &own };
        let mut params = vec![("Action", "AssumeRole"), ("Version", "2011-06-15"), ("RoleArn", arn.as_str())];
        params.push(("RoleSessionName", "cairn-metrics-store"));
        params.extend(external_id.as_deref().map(|id| ("ExternalId", id)));
        let params: Vec<_> = params.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let text = api.ask(&params).await.map_err(|error| format!("take on the role {arn}: {error}"))?;
        let taken =
            role_keys(&text).ok_or_else(|| format!("take on the role {arn}: no keys in the answer"))?;
        let keys = taken.0.clone();
        self.of_role = Some(taken);
        Ok(keys)
    }

    async fn own_keys(&mut self) -> Result<Keys, String> {
        if let Some(keys) = &self.configured {
            return Ok(keys.clone());
        }
        if let (Some(access), Some(secret)) =
            (self.var("AWS_ACCESS_KEY_ID"), self.var("AWS_SECRET_ACCESS_KEY"))
        {
            let token = self.var("AWS_SESSION_TOKEN").map(Secret::new);
            return Ok(Keys { access, secret: Secret::new(secret), token });
        }
        if let Some(keys) = holding(self.temporary.as_ref()) {
            return Ok(keys);
        }
        let of_instance = self.instance_keys().await.map_err(|error| {
            format!(
                "no credentials: none are configured, AWS_ACCESS_KEY_ID is not set, and the instance has none: {error}"
            )
        })?;
        let keys = of_instance.0.clone();
        self.temporary = Some(of_instance);
        Ok(keys)
    }

    async fn instance_keys(&self) -> Result<(Keys, String), String> {
        const PATH: &str = "/latest/meta-data/iam/security-credentials/";
        let list = self.imds(PATH).await?;
        let role = list.lines().next().unwrap_or("").trim();
        let text = self.imds(&format!("{PATH}{role}")).await?;
        let keys: RoleKeys =
            serde_json::from_str(&text).map_err(|error| format!("keys of the role {role:?}: {error}"))?;
        let RoleKeys { access_key_id, secret_access_key, token, expiration } = keys;
        let secret = Secret::new(secret_access_key);
        let keys = Keys { access: access_key_id, secret, token: Some(Secret::new(token)) };
        Ok((keys, compact(&expiration)))
    }

    /// What the metadata service (version 2) says under a path.
    async fn imds(&self, path: &str) -> Result<String, String> {
        let endpoint =
            self.var("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(|| IMDS_ENDPOINT.to_owned());
        let endpoint = endpoint.trim_end_matches('/');
        let opening = Request::builder()
            .method(Method::PUT)
            .uri(format!("{endpoint}/latest/api/token"))
            .header("x-aws-ec2-metadata-token-ttl-seconds", IMDS_SESSION);
        let session = self.imds_ask(opening).await?;
        let asking = Request::get(format!("{endpoint}{path}")).header("x-aws-ec2-metadata-token", session);
        self.imds_ask(asking).await
    }

    async fn imds_ask(&self, request: ::http::request::Builder) -> Result<String, String> {
        let request = request.body(Bytes::new()).map_err(|error| error.to_string())?;
        let url = request.uri().to_string();
        let asked = self.imds.send(request, IMDS_TIMEOUT, IMDS_MAX_BODY).await;
        let response = asked.map_err(|error| with_cause(&error))?;
        if response.status() != StatusCode::OK {
            return Err(format!("{url} answered {}", response.status()));
        }
        let text = String::from_utf8(response.into_body().to_vec());
        text.map_err(|_| format!("{url}: the answer is not UTF-8"))
    }
}

/// Where the API of a region is.
pub(super) fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

/// The keys, unless they end soon.
fn holding(kept: Option<&(Keys, String)>) -> Option<Keys> {
    let (keys, ends) = kept?;
    // The same form on both sides, so that the order of texts is that of times.
    (*ends > amz_time(now_ms().saturating_add(RENEWED_BEFORE_MS))).then(|| keys.clone())
}

/// `2015-08-30T12:36:00.000Z` as `20150830T123600Z`.
fn compact(time: &str) -> String {
    let whole = time.split('.').next().unwrap_or(time).trim_end_matches('Z');
    let digits: String = whole.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    format!("{digits}Z")
}

fn role_keys(text: &str) -> Option<(Keys, String)> {
    let document = parse(text).ok()?;
    let node = document.descendants().find(|node| node.tag_name().name() == "Credentials")?;
    let text = |name| child_text(node, name).map(str::to_owned);
    let keys = Keys {
        access: text("AccessKeyId")?,
        secret: Secret::new(text("SecretAccessKey")?),
        token: text("SessionToken").map(Secret::new),
    };
    Some((keys, compact(&text("Expiration")?)))
}
