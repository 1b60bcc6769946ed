"""The invented names people and places are drawn from; no real person is meant by any of them."""

_FEMALE = """
Amara Aroha Astrid Beatriz Calla Citlali Dalia Eilidh Esperanza Fatuma Freya Giulia Hana Ifeoma Imani Ines
Jazmin Kalinda Keala Leilani Linh Lucia Mairead Maya Meiling Nadia Naya Noor Odalys Paloma Priya Quilla
Rosalind Saoirse Shirin Sunniva Tallulah Tamsin Thandiwe Umeko Valentina Willa Xiomara Yara Yuki Zainab
Zoë
"""

_MALE = """
Abel Adeyemi Anders Arjun Bao Bodhi Caspian Cuauhtemoc Dario Diego Dmitri Ekow Elio Emeka Farid Gael Hamza
Hiro Idris Ivo Jamal Joaquin Kai Kamau Keanu Lachlan Leif Luca Malik Mateo Milo Nasir Nikolai Omari Oren
Pavel Rafael Ravi Samir Santiago Soren Tavita Teodor Thiago Tomasz Viktor Wren Yusuf Zephyr
"""

_FAMILY = """
Adebright Amberwick Ashgrove-Ruiz Baptistone Birchmere Brightwater Calderonne Castlebay Chenoweth-Li
Dawnfield Delacoral Dragomeadow Eaglefern Elderquist Fairlundo Farouksen Fernández-Lark Garnetova
Goldenrood Greythorne Hakimoto Hawksong Hollowell-Ito Ibarrano Ironleaf Jadewright Juniperez Kalanihill
Kestrelman Kowalstern Larksmith Lindenova Lunaquist Maplethorpe Marrowfield Mbekwood Moonriver Nakahoshi
Nguyenridge Núñez-Vale Oakhurstein Okonvale O'Hallowin Osprey-Diaz Patelbrook Pinecastle Quillsong
Ravenmoor Redfeather Rivershade Rosenquill Sagebrooke Silverbirch Singhdale Starling-Cho Stonebridge-Abdi
Tamarisko Thistledown Umberfield Valdemarsh Villawren Whitecloud Willowby Yarrowick Zamorell Zephyrine
"""

_PLACES = """
Alderbrook Bellwether Cinderhill Driftwood Evenstar Foxglove Goldfinch Hazelmoor Inkwell Juniper
Kingfisher Lanternlight Meadowlark Nightingale Orchard Pebblecreek Quartzridge Riverbend Sandpiper
Tidewater
"""

GIVEN = {"female": _FEMALE.split(), "male": _MALE.split()}
FAMILY = _FAMILY.split()
PLACES = _PLACES.split()
