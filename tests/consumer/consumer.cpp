// The same from C++17.
#include <cstdio>
#include <memory>
#include <string_view>

#include <aether/aether.h>
#include <aether/inline.h>

using buffer_ptr = std::unique_ptr<aether_buffer, decltype(&aether_buffer_destroy)>;
using cursor_ptr = std::unique_ptr<aether_cursor, decltype(&aether_cursor_close)>;

int main()
{
    aether_buffer_options options{};
    options.segment_bytes = 4096;
    buffer_ptr buffer(aether_buffer_create(&options), aether_buffer_destroy);
    cursor_ptr cursor(aether_cursor_open(buffer.get(), AETHER_FROM_NEXT), aether_cursor_close);

    constexpr std::string_view text = "hello";
    if (aether_append(buffer.get(), text.data(), text.size()) != AETHER_OK ||
        aether_inline_append(buffer.get(), text.data(), text.size()) != AETHER_OK)
        return 1;

    aether_item item;
    if (aether_cursor_next(cursor.get(), &item, AETHER_SECONDS(1)) != AETHER_OK || !aether_inline_next(cursor.get(), &item))
        return 2;
    if (item.index != 2 || std::string_view(static_cast<const char *>(item.data), item.size) != text)
        return 3;
    std::printf("C++, aether %s\n", aether_version());
}
