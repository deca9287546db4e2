"""The parts of `mad.crawl`: keywords, Flickr's API, fetching, the index, duplicates, and the loop over them."""
