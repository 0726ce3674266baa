//! A raw partition that is paused because it runs ahead of another, while routers come and go.

use super::site::{Site, begun};
use super::stream::{SECOND, Sender, committed};
use crate::kafka::{Broker, are_there};
use crate::vedette::until;

const BEGIN: i64 = 1_772_755_200 * SECOND;
const TOPIC: &str = "ahead.raw";
/// Partitions: one whose records are of two minutes later, and one that is long in reading.
const FAR: i32 = 0;
const NEAR: i32 = 1;
const NEAR_RECORDS: i64 = 1_200;
/// Of the other one, before anything else comes.
const FAR_RECORDS: i64 = 210;
/// A batch, here a record, for each time the broker waits in vain for more; so reading takes its time on any machine.
const SLOWLY: &str = "[source.kafka.properties]\n\"fetch.message.max.bytes\" = \"1\"\n\
                      \"fetch.min.bytes\" = \"1000000\"\n\"fetch.wait.max.ms\" = \"30\"\n";

#[test]
fn a_partition_that_is_paused_is_read_on_wherever_it_goes() {
    if !are_there("a partition that runs ahead") {
        return;
    }
    let broker = Broker::start(&[]);
    let topics = format!("[[source.kafka.topics]]\nname = \"{TOPIC}\"\nformat = \"native-json\"\nlive = false");
    // Ahead is what is further than a quarter of what lanes may hold open: 50 s.
    let mut site = Site::new(&broker, "ahead", &["far", "near"], "max_open_windows = 40", "", &topics);
    site.replace("[source.kafka.properties]\n", SLOWLY);
    site.create_topics(2);
    let sender = Sender::new(site.bootstrap(), &[("batch.num.messages", "1")]);
    sender.send_some(TOPIC, FAR, "far", BEGIN, 10);
    sender.send_some(TOPIC, FAR, "far", BEGIN + 120 * SECOND, 200);
    sender.send_some(TOPIC, NEAR, "near", BEGIN, NEAR_RECORDS);

    let mut judge = site.start_roles("judge,act");
    let mut first = site.start_roles("route");
    let read = |partition| committed(site.bootstrap(), "ahead-route", TOPIC, partition);
    let mut looks = (0, -1);
    until(&mut first, "the other partition to wait for the slow one", |_| {
        let (near, far) = (read(NEAR), read(FAR));
        let waits = far >= 10 && far == looks.1 && near >= looks.0 + 20;
        if looks.1 != far {
            looks = (near, far);
        }
        waits
    });
    assert!((10..FAR_RECORDS).contains(&read(FAR)), "{} of the other", read(FAR));

    // Whichever goes, each is alone in its router now, and ahead of nobody.
    let mut second = site.start_roles("route");
    begun(&mut second, 3);
    assert!(read(NEAR) < NEAR_RECORDS, "it went too late to tell anything");
    until(&mut second, "the end of the partition that waited", |_| read(FAR) == FAR_RECORDS);
    second.stop();
    begun(&mut first, 4);
    sender.send_some(TOPIC, FAR, "far", BEGIN + 130 * SECOND, 10);
    sender.heartbeat(TOPIC, &[FAR, NEAR], BEGIN + 600 * SECOND);
    site.wait_records(&mut judge, "near", NEAR_RECORDS);
    site.wait_records(&mut judge, "far", 220);
    first.stop();
    judge.stop();
}
