// The same from C++17.
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include <aether/json.h>
#include <aether/retry.h>
#include <aether/sqlite.h>

using store_ptr = std::unique_ptr<aether_store, decltype(&aether_store_close)>;
using replay_ptr = std::unique_ptr<aether_replay, decltype(&aether_replay_close)>;

static aether_status decide(aether_decision *decision, aether_store *, const char *, std::int64_t, void *)
{
    aether_event event{};
    event.type = "Decided";
    return aether_decision_add(decision, &event);
}

int main(int count, char **words)
{
    if (aether_store_use(aether_sqlite_driver()) != AETHER_OK)
        return 1;
    const std::string url = std::string("sqlite:") + (count > 1 ? words[1] : "consumer.db");
    store_ptr store(aether_store_open(url.c_str(), nullptr), aether_store_close);
    aether_retry_outcome outcome;
    if (!store || aether_retry_save(store.get(), "b", nullptr, decide, nullptr, &outcome) != AETHER_OK)
        return 2;
    replay_ptr replay(aether_load(store.get(), "b", nullptr), aether_replay_close);
    aether_event event;
    if (!replay || aether_replay_next(replay.get(), &event, AETHER_NO_WAIT) != AETHER_OK || event.version != 1)
        return 3;
    const char *text = "{\"actorId\":\"a\"}";
    if (!aether_json_check(text, std::strlen(text), nullptr))
        return 4;
    std::printf("C++, version %lld\n", static_cast<long long>(event.version));
}
