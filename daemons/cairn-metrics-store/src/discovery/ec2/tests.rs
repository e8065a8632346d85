//! Against a stand-in of the EC2 API, the token service and the instance metadata service, all on one loopback port.

use std::sync::Mutex;

use ::http::{HeaderMap, StatusCode};
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use cairn_http::client::secret::Secret;
use cairn_http::{Listener, ServeOptions, serve};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::discovery::aws_sign::{Scope, authorization};

/// What the stand-in has seen and does.
#[derive(Clone, Default)]
struct Aws {
    /// Keys that are accepted: by name, secret and token.
    keys: Arc<Mutex<Vec<(String, String, String)>>>,
    forms: Arc<Mutex<Vec<String>>>,
    refuses_zones: Arc<Mutex<bool>>,
}

const FULL: &str = r#"<item><instanceId>i-1</instanceId><imageId>ami-1</imageId>
  <instanceState><code>16</code><name>running</name></instanceState>
  <privateDnsName>ip-10-0-0-1.internal</privateDnsName><dnsName>ec2-1.example</dnsName>
  <instanceType>t3.micro</instanceType><placement><availabilityZone>eu-1a</availabilityZone></placement>
  <platform>windows</platform><subnetId>subnet-a</subnetId><vpcId>vpc-1</vpcId>
  <privateIpAddress>10.0.0.1</privateIpAddress><ipAddress>198.51.100.1</ipAddress>
  <architecture>arm64</architecture><instanceLifecycle>spot</instanceLifecycle>
  <tagSet><item><key>Name</key><value>web 1</value></item><item><key>aws:team/x</key><value/></item></tagSet>
  <networkInterfaceSet>
    <item><subnetId>subnet-a</subnetId><attachment><deviceIndex>1</deviceIndex></attachment>
      <ipv6AddressesSet><item><ipv6Address>2001:db8::1</ipv6Address><isPrimaryIpv6>true</isPrimaryIpv6></item>
        <item><ipv6Address>2001:db8::2</ipv6Address></item></ipv6AddressesSet></item>
    <item><subnetId>subnet-b</subnetId></item><item><subnetId>subnet-a</subnetId></item>
  </networkInterfaceSet></item>"#;
const IPV6_ONLY: &str = r"<item><instanceId>i-2</instanceId><vpcId>vpc-1</vpcId>
  <placement><availabilityZone>eu-1b</availabilityZone></placement><networkInterfaceSet><item><subnetId>s</subnetId>
  <ipv6AddressesSet><item><ipv6Address>2001:db8::9</ipv6Address></item></ipv6AddressesSet></item></networkInterfaceSet></item>";
const NO_ADDRESS: &str = "<item><instanceId>i-3</instanceId></item>";

fn page(instances: &str, next: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><reservationSet><item>
<ownerId>123456789012</ownerId><instancesSet>{instances}</instancesSet></item></reservationSet>{next}</DescribeInstancesResponse>"#
    )
}

/// Checks the signature as AWS does, by making it again.
fn is_signed(aws: &Aws, headers: &HeaderMap, service: &str, body: &str) -> bool {
    let text = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap());
    let given = text("authorization");
    let Some((_, rest)) = given.split_once("Credential=") else { return false };
    let access = rest.split('/').next().unwrap();
    let known = aws.keys.lock().unwrap().iter().find(|(name, ..)| name == access).cloned();
    let Some((access, secret, token)) = known else { return false };
    let mut signed = vec![
        ("content-type", text("content-type")),
        ("host", text("host")),
        ("x-amz-date", text("x-amz-date")),
    ];
    if !token.is_empty() {
        signed.push(("x-amz-security-token", token.as_str()));
    }
    let keys = Keys { access, secret: Secret::new(secret), token: None };
    let scope = Scope { region: "eu-1", service, time: text("x-amz-date") };
    authorization(
        &keys,
        &scope,
        "POST",
        if service == "sts" { "/sts" } else { "/" },
        &signed,
        body.as_bytes(),
    ) == given
}

fn refused() -> Response {
    let error = "<Response><Errors><Error><Code>AuthFailure</Code><Message>not validated</Message></Error></Errors></Response>";
    (StatusCode::UNAUTHORIZED, error).into_response()
}

async fn ec2(State(aws): State<Aws>, headers: HeaderMap, body: String) -> Response {
    if !is_signed(&aws, &headers, "ec2", &body) {
        return refused();
    }
    aws.forms.lock().unwrap().push(body.clone());
    if body.contains("DescribeAvailabilityZones") {
        if *aws.refuses_zones.lock().unwrap() {
            return refused();
        }
        let zones = "<item><zoneName>eu-1a</zoneName><zoneId>euw1-az1</zoneId></item><item><zoneName>eu-1b</zoneName><zoneId>euw1-az2</zoneId></item>";
        return format!("<R><availabilityZoneInfo>{zones}</availabilityZoneInfo></R>").into_response();
    }
    if body.contains("NextToken=more") {
        return page(&format!("{IPV6_ONLY}{NO_ADDRESS}"), "").into_response();
    }
    page(FULL, "<nextToken>more</nextToken>").into_response()
}

async fn sts(State(aws): State<Aws>, headers: HeaderMap, body: String) -> Response {
    if !is_signed(&aws, &headers, "sts", &body) {
        return refused();
    }
    aws.forms.lock().unwrap().push(body);
    aws.keys.lock().unwrap().push(("ROLE".to_owned(), "role".to_owned(), "roletoken".to_owned()));
    "<A><R><Credentials><AccessKeyId>ROLE</AccessKeyId><SecretAccessKey>role</SecretAccessKey>
     <SessionToken>roletoken</SessionToken><Expiration>2199-01-01T00:00:00Z</Expiration></Credentials></R></A>"
        .into_response()
}

async fn metadata(State(aws): State<Aws>, headers: HeaderMap, uri: ::http::Uri) -> Response {
    if headers.get("x-aws-ec2-metadata-token").is_none_or(|token| token != "session") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let path = uri.path();
    if path.ends_with("/placement/region") {
        return "eu-1".into_response();
    }
    if path.ends_with("/security-credentials/") {
        return "machine\n".into_response();
    }
    aws.forms.lock().unwrap().push(path.to_owned());
    aws.keys.lock().unwrap().push(("TEMP".to_owned(), "temp".to_owned(), "token".to_owned()));
    r#"{"Code":"Success","AccessKeyId":"TEMP","SecretAccessKey":"temp","Token":"token","Expiration":"2199-01-01T00:00:00Z"}"#
        .into_response()
}

async fn start() -> (Aws, String, DropGuard) {
    let aws = Aws::default();
    aws.keys.lock().unwrap().push(("AK".to_owned(), "secret".to_owned(), String::new()));
    let router = Router::new()
        .route("/", post(ec2))
        .route("/sts", post(sts))
        .route("/latest/api/token", put(|| async { "session" }))
        .route("/latest/meta-data/{*path}", get(metadata))
        .with_state(aws.clone());
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr());
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, router, ServeOptions::default(), stop.clone()));
    (aws, url, stop.drop_guard())
}

fn config(url: &str) -> Ec2Sd {
    Ec2Sd {
        endpoint: Some(url.to_owned()),
        region: Some("eu-1".to_owned()),
        keys: Some(("AK".to_owned(), Secret::new("secret"))),
        role: None,
        port: 9100,
        filters: vec![Ec2Filter {
            name: "tag:env".to_owned(),
            values: vec!["dev".to_owned(), "te st".to_owned()],
        }],
        client: ClientConfig::default(),
        refresh: Duration::from_secs(60),
    }
}

fn env(pairs: &[(&str, &str)]) -> Env {
    let pairs: HashMap<String, String> =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Arc::new(move |name| pairs.get(name).cloned())
}

#[tokio::test]
async fn every_label_of_every_page() {
    let (aws, url, _guard) = start().await;
    let mut provider = Ec2Provider::with_env(config(&url), env(&[]));
    let groups = provider.refresh().await.unwrap();
    assert_eq!(groups.len(), 2, "an instance without address is none");
    assert_eq!(
        (&groups[0].targets[0][..], &groups[1].targets[0][..]),
        ("10.0.0.1:9100", "[2001:db8::9]:9100")
    );
    let labels: Vec<(&str, &str)> = groups[0]
        .labels
        .iter()
        .map(|(name, value)| (name.strip_prefix("__meta_ec2_").unwrap(), value.as_str()))
        .collect();
    assert_eq!(
        labels,
        [
            ("ami", "ami-1"),
            ("architecture", "arm64"),
            ("availability_zone", "eu-1a"),
            ("availability_zone_id", "euw1-az1"),
            ("default_ipv6_address", "2001:db8::1"),
            ("instance_id", "i-1"),
            ("instance_lifecycle", "spot"),
            ("instance_state", "running"),
            ("instance_type", "t3.micro"),
            ("ipv6_addresses", ",2001:db8::1,2001:db8::2,"),
            ("owner_id", "123456789012"),
            ("platform", "windows"),
            ("primary_ipv6_addresses", ",,2001:db8::1,"),
            ("primary_subnet_id", "subnet-a"),
            ("private_dns_name", "ip-10-0-0-1.internal"),
            ("private_ip", "10.0.0.1"),
            ("public_dns_name", "ec2-1.example"),
            ("public_ip", "198.51.100.1"),
            ("region", "eu-1"),
            ("subnet_id", ",subnet-a,subnet-b,"),
            ("tag_Name", "web 1"),
            ("tag_aws_team_x", ""),
            ("vpc_id", "vpc-1"),
        ]
    );
    assert_eq!(groups[1].labels["__meta_ec2_availability_zone_id"], "euw1-az2");
    let forms = aws.forms.lock().unwrap().clone();
    assert_eq!(
        forms,
        [
            "Action=DescribeInstances&Version=2016-11-15&MaxResults=1000&Filter.1.Name=tag%3Aenv&Filter.1.Value.1=dev&Filter.1.Value.2=te+st",
            "Action=DescribeAvailabilityZones&Version=2016-11-15",
            "Action=DescribeInstances&Version=2016-11-15&MaxResults=1000&Filter.1.Name=tag%3Aenv&Filter.1.Value.1=dev&Filter.1.Value.2=te+st&NextToken=more",
        ]
    );
    provider.refresh().await.unwrap();
    assert_eq!(aws.forms.lock().unwrap().len(), 5, "zones that are known are not asked for again");
}

#[tokio::test]
async fn credentials_of_the_environment_and_of_the_instance() {
    let (aws, url, _guard) = start().await;
    let bare = Ec2Sd { keys: None, region: None, ..config(&url) };
    let of_env = [
        ("AWS_ACCESS_KEY_ID", "AK"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_SESSION_TOKEN", ""),
        ("AWS_DEFAULT_REGION", "eu-1"),
    ];
    assert_eq!(Ec2Provider::with_env(bare.clone(), env(&of_env)).refresh().await.unwrap().len(), 2);
    aws.forms.lock().unwrap().clear();

    let imds = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str())];
    let mut provider = Ec2Provider::with_env(bare.clone(), env(&imds));
    for _ in 0..2 {
        assert_eq!(provider.refresh().await.unwrap().len(), 2);
    }
    let keys = "/latest/meta-data/iam/security-credentials/machine";
    let n_asked = aws.forms.lock().unwrap().iter().filter(|form| *form == keys).count();
    assert_eq!(n_asked, 1, "keys that hold are kept");

    let sts_url = format!("{url}/sts");
    let role = Ec2Sd { role: Some(("arn:r".to_owned(), Some("x".to_owned()))), ..config(&url) };
    let mut provider = Ec2Provider::with_env(role, env(&[("AWS_ENDPOINT_URL_STS", &sts_url)]));
    assert_eq!(provider.refresh().await.unwrap().len(), 2);
    let asked = "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Ar&RoleSessionName=cairn-metrics-store&ExternalId=x";
    assert!(aws.forms.lock().unwrap().iter().any(|form| form == asked));
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let (aws, url, guard) = start().await;
    let wrong = Ec2Sd { keys: Some(("AK".to_owned(), Secret::new("wrong"))), ..config(&url) };
    let error = Ec2Provider::with_env(wrong, env(&[])).refresh().await.unwrap_err();
    assert_eq!(error, format!("{url} answered 401 Unauthorized: AuthFailure: not validated"));

    *aws.refuses_zones.lock().unwrap() = true;
    let mut provider = Ec2Provider::with_env(config(&url), env(&[]));
    let groups = provider.refresh().await.unwrap();
    assert!(!groups[0].labels.contains_key("__meta_ec2_availability_zone_id"));

    drop(guard);
    let bare = Ec2Sd { keys: None, ..config(&url) };
    let nowhere = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")];
    let error = Ec2Provider::with_env(bare, env(&nowhere)).refresh().await.unwrap_err();
    assert!(error.starts_with("no credentials: none are configured"), "{error}");
}
