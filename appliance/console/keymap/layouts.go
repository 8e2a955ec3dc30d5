package keymap

// deadKeys are the letters by which the layouts write a key that waits for the
// next one: grave, acute, circumflex, tilde, diaeresis, in the kernel's order.
const deadKeys = "ˋˊˆ˜¨"

// layout is what the keys give, row by row as in rowKeys. A blank gives
// nothing, and so does what a row of altGr leaves out.
type layout struct {
	plain, shift, altGr [4]string
}

// layouts are named as on the keyboard's box, by country.
func layouts() map[string]layout {
	return map[string]layout{
		"us": {
			plain: [4]string{"`1234567890-=", "qwertyuiop[]", "asdfghjkl;'\\", "<zxcvbnm,./"},
			shift: [4]string{"~!@#$%^&*()_+", "QWERTYUIOP{}", "ASDFGHJKL:\"|", ">ZXCVBNM<>?"},
		},
		"uk": {
			plain: [4]string{"`1234567890-=", "qwertyuiop[]", "asdfghjkl;'#", "\\zxcvbnm,./"},
			shift: [4]string{"¬!\"£$%^&*()_+", "QWERTYUIOP{}", "ASDFGHJKL:@~", "|ZXCVBNM<>?"},
			altGr: [4]string{"¦   €", "", "", ""},
		},
		"de": {
			plain: [4]string{"ˆ1234567890ßˊ", "qwertzuiopü+", "asdfghjklöä#", "<yxcvbnm,.-"},
			shift: [4]string{"°!\"§$%&/()=?ˋ", "QWERTZUIOPÜ*", "ASDFGHJKLÖÄ'", ">YXCVBNM;:_"},
			altGr: [4]string{"  ²³   {[]}\\", "@ €        ~", "", "|      µ"},
		},
		"fr": {
			plain: [4]string{"²&é\"'(-è_çà)=", "azertyuiopˆ$", "qsdfghjklmù*", "<wxcvbn,;:!"},
			shift: [4]string{" 1234567890°+", "AZERTYUIOP¨£", "QSDFGHJKLM%µ", ">WXCVBN?./§"},
			altGr: [4]string{"  ~#{[|`\\^@]}", "  €", "", ""},
		},
		"es": {
			plain: [4]string{"º1234567890'¡", "qwertyuiopˋ+", "asdfghjklñˊç", "<zxcvbnm,.-"},
			shift: [4]string{"ª!\"·$%&/()=?¿", "QWERTYUIOPˆ*", "ASDFGHJKLÑ¨Ç", ">ZXCVBNM;:_"},
			altGr: [4]string{"\\|@#~€¬", "  €       []", "          {}", ""},
		},
		"ch": {
			plain: [4]string{"§1234567890'ˆ", "qwertzuiopü¨", "asdfghjklöä$", "<yxcvbnm,.-"},
			shift: [4]string{"°+\"*ç%&/()=?ˋ", "QWERTZUIOPè!", "ASDFGHJKLéà£", ">YXCVBNM;:_"},
			altGr: [4]string{" ¦@#  ¬|¢  ˊ˜", "  €       []", "          {}", "\\"},
		},
	}
}
